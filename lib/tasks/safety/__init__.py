"""Safety: answers to hazardous requests, each judged safe or unsafe by a second model."""
