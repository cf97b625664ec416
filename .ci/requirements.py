"""What pyproject.toml asks for, one a line: to build, to run, and the named extras."""

import sys
import tomllib
from pathlib import Path


def main(path: str, *extras: str) -> None:
    """Print the requirements of the project at `path`; an extra may name other extras of the project."""
    settings = tomllib.loads(Path(path).read_text("utf-8"))
    project = settings["project"]
    wanted = [*settings["build-system"]["requires"], *project["dependencies"]]
    todo, seen = list(extras), set()
    while todo:
        extra = todo.pop()
        if extra in seen:
            continue
        seen.add(extra)
        for requirement in project["optional-dependencies"][extra]:
            if requirement.startswith(own := f"{project['name']}["):
                todo += [name.strip() for name in requirement.removeprefix(own).rstrip("]").split(",")]
            else:
                wanted.append(requirement)
    print("\n".join(wanted))


main(*sys.argv[1:])
