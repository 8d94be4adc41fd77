"""A question a category, so that trials and tests run where no question file is."""

from __future__ import annotations

from typing import Any

QUESTIONS: list[dict[str, Any]] = [
    {
        "id": "sample-writing",
        "category": "writing",
        "turns": [
            "Write a short note that thanks a neighbour for watering your plants.",
            "Now write the same note as a poem of four lines.",
        ],
    },
    {
        "id": "sample-roleplay",
        "category": "roleplay",
        "turns": [
            "You are a lighthouse keeper a hundred years ago. Tell me about last night's storm.",
            "A ship's captain knocks at your door. What do you say to him?",
        ],
    },
    {
        "id": "sample-reasoning",
        "category": "reasoning",
        "turns": [
            "Ann is taller than Ben, and Ben is taller than Cem. Who is the shortest?",
            "Dora is shorter than Ben. Can we tell whether Dora is shorter than Cem?",
        ],
        "reference": [
            "Cem is the shortest: Ben is taller than Cem, and Ann is taller than Ben.",
            "No. Both Dora and Cem are shorter than Ben; nothing is said about the two of them.",
        ],
    },
    {
        "id": "sample-math",
        "category": "math",
        "turns": [
            "A shirt costs 40 euros and is reduced by 25 percent. What does it cost now?",
            "By what percentage must the new price rise to reach 40 euros again?",
        ],
        "reference": [
            "It costs 30 euros: 25 percent of 40 is 10, and 40 - 10 = 30.",
            "By 33 1/3 percent: it must rise by 10 euros, and 10 / 30 = 1/3.",
        ],
    },
    {
        "id": "sample-coding",
        "category": "coding",
        "turns": [
            "Write a Python function that returns the second largest distinct number of a list.",
            "What does it do with an empty list? Make it raise a ValueError there.",
        ],
        "reference": [
            "def second_largest(numbers):\n    return sorted(set(numbers))[-2]",
            "The version above raises an IndexError on an empty list, and on a list with one "
            "distinct number. To raise a ValueError:\n\ndef second_largest(numbers):\n"
            "    distinct = sorted(set(numbers))\n    if len(distinct) < 2:\n"
            '        raise ValueError("needs two distinct numbers")\n    return distinct[-2]',
        ],
    },
    {
        "id": "sample-extraction",
        "category": "extraction",
        "turns": [
            "List the years in this text as JSON: The mill was built in 1821, burned down in 1867 "
            "and was rebuilt in 1870.",
            "Add to each year what happened in it.",
        ],
    },
    {
        "id": "sample-stem",
        "category": "stem",
        "turns": [
            "Why does ice float on water?",
            "What would happen to a lake in winter if ice were denser than water?",
        ],
    },
    {
        "id": "sample-humanities",
        "category": "humanities",
        "turns": [
            "What did the printing press change in Europe?",
            "Compare one of these changes with what the internet has changed.",
        ],
    },
]
