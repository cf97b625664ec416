"""The README's code: ``readme.py README.md use|test`` prints a marked command, ``run`` runs the examples.

A command is the fenced bash block after ``<!-- ci: use -->`` or ``<!-- ci: test -->``.  Examples are the
fenced python blocks, run in order in one namespace; ``<!-- ci: skip -->`` before a block keeps it out.
"""

import re
import sys
from pathlib import Path

BLOCK = re.compile(r"(?:<!-- ci: (?P<mark>\w+) -->\s*)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S)


def main(readme: str, task: str) -> None:
    """Print or run what `task` names."""
    blocks = [match.group("mark", "language", "code") for match in BLOCK.finditer(Path(readme).read_text("utf-8"))]
    if task == "run":
        examples = [code for mark, language, code in blocks if language == "python" and mark != "skip"]
        if not examples:
            sys.exit(f"{readme} has no python example")
        namespace: dict[str, object] = {"__name__": "__main__"}
        for number, code in enumerate(examples, 1):
            print(f"--- example {number}\n{code}", flush=True)
            exec(compile(code, f"{readme}, example {number}", "exec"), namespace)
    else:
        commands = [code for mark, language, code in blocks if language == "bash" and mark == task]
        if len(commands) != 1:
            sys.exit(f"{readme} must have one bash block marked '<!-- ci: {task} -->', has {len(commands)}")
        print(commands[0], end="")


main(*sys.argv[1:])
