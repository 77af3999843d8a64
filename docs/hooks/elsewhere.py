"""Documents outside docs/ that are pages of the site."""

from __future__ import annotations

# File in the repository -> page of the site.
PAGES = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "README.md": "index.md",
    "benchmarks/README.md": "project/benchmarks.md",
    "reports/results/README.md": "project/results.md",
    "spsam/model/sam/weights/README.md": "reference/sam-tiny.md",
}
