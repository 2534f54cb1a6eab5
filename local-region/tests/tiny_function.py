"""A function for tests: it uses the Lambda Runtime API and does what its event's detail requests.

{"fail": true}                  fails, always
{"fail-times": 2}               fails twice in this process, then succeeds
{"call": ["ec2", "DescribeVolumes", {}]}   calls AWS with the function's own credentials
{"sleep": 60}                   answers after N seconds; sends an event if it is terminated earlier
{"exit": true}                  exits without an answer
Anything else succeeds and returns the event.
"""

import json
import os
import signal
import time
import urllib.request

API = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime"


def handle(event, failures, deadline_ms):
    wish = event.get("detail") or event
    if wish.get("exit"):
        os._exit(3)
    if "sleep" in wish:
        signal.signal(signal.SIGTERM, send_terminated_event)
        time.sleep(wish["sleep"])
    if wish.get("fail"):
        raise RuntimeError("asked to fail")
    if failures["left"] is None and "fail-times" in wish:
        failures["left"] = wish["fail-times"]
    if failures["left"]:
        failures["left"] -= 1
        raise RuntimeError("asked to fail for a while")
    failures["left"] = None
    if "call" in wish:
        import botocore.session

        service, operation, params = wish["call"]
        client = botocore.session.Session().create_client(service, endpoint_url=os.environ["AWS_ENDPOINT_URL"])
        answer = client._make_api_call(operation, params)
        return {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    return {
        "outcome": "done",
        "event": event,
        "greeting": os.environ.get("GREETING"),
        "environment": sorted(os.environ),
        "millisecondsLeft": deadline_ms - time.time() * 1000,
    }


def send_terminated_event(*_):
    event = {"source": "tiny.terminated", "detail-type": "Terminated", "detail": {}}
    url = f"{os.environ['AWS_ENDPOINT_URL']}/_local-region/events"
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(event).encode(), method="POST")).read()


def post(path, body):
    urllib.request.urlopen(
        urllib.request.Request(f"{API}{path}", json.dumps(body, default=str).encode(), method="POST")
    ).read()


def main():
    failures = {"left": None}
    while True:
        with urllib.request.urlopen(f"{API}/invocation/next") as invocation:
            request_id, event = invocation.headers["Lambda-Runtime-Aws-Request-Id"], json.load(invocation)
            deadline_ms = int(invocation.headers["Lambda-Runtime-Deadline-Ms"])
        try:
            answer = handle(event, failures, deadline_ms)
        except Exception as error:
            post(f"/invocation/{request_id}/error", {"errorType": type(error).__name__, "errorMessage": str(error)})
        else:
            post(f"/invocation/{request_id}/response", answer)


main()
