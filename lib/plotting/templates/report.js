// Sorting by a header's button and filtering by a word, for every table of class "points".
for (const table of document.querySelectorAll("table.points")) {
  const body = table.tBodies[0], rows = [...body.rows];
  const key = (row, i) => row.cells[i].dataset.key ?? row.cells[i].textContent;
  const order = (a, b) => {
    if (a === "" || b === "") return a === b ? 0 : null;
    const [x, y] = [Number(a), Number(b)];
    return isNaN(x) || isNaN(y) ? String(a).localeCompare(b, undefined, {numeric: true}) : x - y;
  };
  table.querySelectorAll("thead th").forEach((head, i) => {
    head.querySelector("button").addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("thead th").forEach(h => h.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      rows.sort((a, b) => {
        const [x, y] = [key(a, i), key(b, i)], way = order(x, y);
        return way === null ? (x === "" ? 1 : -1) : up ? way : -way;  // empty cells stay last
      });
      body.append(...rows);
    });
  });
  const filter = document.getElementById(table.dataset.filter);
  const count = document.getElementById(table.dataset.count);
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
      shown += !row.hidden;
    }
    count.textContent = `${shown} of ${rows.length} points`;
  });
}
