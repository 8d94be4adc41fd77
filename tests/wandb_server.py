"""W&B's server as its client asks it: GraphQL and the stream of a run's rows, in memory.

Written from the queries in wandb 0.31.0 (apis/public/runs.py) and those that wandb-core sends.
"""

import gzip
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Server:
    """Runs of the projects in `projects`: "entity/project" → id → run."""

    def __init__(self) -> None:
        self.projects: dict[str, dict[str, dict[str, Any]]] = {}
        self.asked: list[str] = []  # first words of each query
        self.bodies: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *words: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                answer = server.answer(self.path, body.decode(errors="replace"))
                self.send_response(200)
                self.send_header("content-type", "application/json")
                content = json.dumps(answer).encode()
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_PUT = do_POST

            def do_GET(self) -> None:
                self.send_response(404)
                self.send_header("content-length", "0")
                self.end_headers()

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda *where: None  # a client that ends hangs up
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, path: str, body: str) -> Any:
        """What the server says to one request."""
        self.bodies.append(body)
        if "otel" in path or path == "/upload":
            return {}
        if path.endswith("/file_stream"):
            return self.stream(path, json.loads(body))
        asked = json.loads(body)
        query, given = asked["query"], asked.get("variables") or {}
        self.asked.append(asked.get("operationName") or query.split("(")[0].split()[-1])
        return {"data": self.data(query, given)}

    def data(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        """The answer to a query, by what it asks for."""
        if "viewer" in query:
            return {"viewer": {"id": "1", "entity": "team", "username": "u", "email": "u@u",
                               "flags": "{}", "teams": {"edges": []}}}  # fmt: skip
        if "upsertBucket" in query:
            return self.upsert(given)
        if "createRunFiles" in query:
            files = [{"name": name, "uploadUrl": f"{self.url}/upload"} for name in given["files"]]
            return {"createRunFiles": {"runID": "1", "uploadHeaders": [], "files": files}}
        project = self.projects.get(f"{given.get('entity')}/{given.get('project')}")
        name = given.get("name") or given.get("runName") or given.get("run")
        run = (project or {}).get(name)
        if "rewindRun" in query:
            run = self.projects[f"{given['entity']}/{given['project']}"][given["runName"]]
            run["rows"] = [row for row in run["rows"] if row["_step"] <= given["metricValue"]]
            made = self.upsert({**given, "config": None, "name": given["runName"]})
            return {"rewindRun": {"rewoundRun": made["upsertBucket"]["bucket"]}}
        if "RunResumeStatus" in query:
            place = {"id": "1", "name": given["project"], "entity": {"id": "1", "name": "team"}}
            return {"model": {**place, "bucket": shown(run) if run else None}}
        if "runs(" in query:
            edges = [{"node": shown(run), "cursor": id} for id, run in (project or {}).items()]
            page = {"endCursor": None, "hasNextPage": False}
            runs = {"internalId": "1", "runCount": len(edges), "readOnly": False,
                    "runs": {"edges": edges, "pageInfo": page}}  # fmt: skip
            return {"project": runs if project is not None else None}
        if "parquetHistory" in query:
            return {"project": {"run": {"parquetHistory": {"parquetUrls": [], "liveData": []}}}}
        if "history(minStep" in query or "HistoryPage" in query:
            first, last = given.get("minStep", 0), given.get("maxStep", 1 << 60)
            rows = [json.dumps(row) for row in run["rows"] if first <= row["_step"] < last]
            return {"project": {"run": {"history": rows}}}
        return {"project": {"run": shown(run) if run else None}}

    def upsert(self, given: dict[str, Any]) -> dict[str, Any]:
        """Make or change a run."""
        entity, project = given.get("entity") or "team", given["project"]
        runs = self.projects.setdefault(f"{entity}/{project}", {})
        run = runs.setdefault(given["name"], {"id": given["name"], "rows": [], "config": {}})
        run["group"] = given.get("groupName") or run.get("group")
        if given.get("config"):
            run["config"] = json.loads(given["config"])
        place = {"id": "1", "name": project, "entity": {"id": "1", "name": entity}}
        bucket = {"id": f"x{given['name']}", "name": given["name"], "displayName": given["name"],
                  "description": None, "config": given.get("config"), "sweepName": None,
                  "historyLineCount": len(run["rows"]), "project": place}  # fmt: skip
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}

    def stream(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        """Take rows: at an offset, so that a run that starts anew overwrites."""
        _, entity, project, name, _ = path.strip("/").split("/")
        run = self.projects[f"{entity}/{project}"][name]
        for file, part in (content.get("files") or {}).items():
            lines = [json.loads(line) for line in part["content"]]
            if file == "wandb-history.jsonl":
                run["rows"][part["offset"] :] = lines
            elif file == "wandb-summary.json":
                run["summary"] = lines[-1]
        return {}


def shown(run: dict[str, Any]) -> dict[str, Any]:
    """A run as GraphQL gives it."""
    steps = [row["_step"] for row in run["rows"]]
    return {
        "id": run["id"], "name": run["id"], "displayName": run["id"], "tags": [],
        "sweepName": None, "state": "finished", "config": json.dumps(run["config"]),
        "group": run["group"], "jobType": None, "commit": None, "readOnly": False,
        "createdAt": "2026-01-01T00:00:00", "heartbeatAt": "2026-01-01T00:00:00",
        "description": "", "notes": None, "systemMetrics": "{}",
        "summaryMetrics": json.dumps(run.get("summary", {})), "historyLineCount": len(steps),
        "user": {"name": "u", "username": "u"}, "projectId": "1",
        "historyKeys": {"lastStep": max(steps, default=-1), "sets": [], "keys": {}},
        "historyTail": json.dumps([json.dumps(run["rows"][-1])] if steps else []),
        "eventsTail": "[]", "eventsLineCount": 0, "logLineCount": 0, "wandbConfig": '{"t": 1}',
    }  # fmt: skip
