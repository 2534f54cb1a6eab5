"""What a script of aws:executeScript is run with: read by `runbook_actions` and run in a process of its own.

It is given the script, its handler, its input, how much shorter sleeps are, and where to leave the answer.
"""

import json
import sys
import time
import traceback


def main() -> None:
    """Run the handler of the script on standard input; leave its answer, or its error, in a file."""
    given = json.load(sys.stdin)
    sleep = time.sleep
    time.sleep = lambda seconds: sleep(seconds * given["waitScale"])
    try:
        scope = {"__name__": "script"}
        exec(compile(given["script"], "script", "exec"), scope)
        handler = scope.get(given["handler"])
        if not callable(handler):
            raise NameError(f"the script has no function {given['handler']}")
        answer = {"payload": handler(given["payload"], {})}
        json.dumps(answer)
    except Exception:
        answer = {"error": traceback.format_exc()}
    with open(given["answer"], "w") as file:
        json.dump(answer, file)


main()
