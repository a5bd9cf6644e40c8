"""The load of `bench_service.py`, for locust: each user sends the next request as soon as it has the last answer.

SERVICE_LOAD names a folder with bodies (`0.body`, ...) and `expected.json`, the first probability of each file of each.
Answers that are not those of the request's own images are failures.
"""

import itertools
import json
import os
from pathlib import Path

from locust import constant, events, task
from locust.contrib.fasthttp import FastHttpUser

FOLDER = Path(os.environ["SERVICE_LOAD"])
EXPECTED = json.loads((FOLDER / "expected.json").read_text())
BODIES = [(FOLDER / f"{i}.body").read_bytes() for i in range(len(EXPECTED))]
HEADERS = {"Content-Type": "multipart/form-data; boundary=edge"}
NUMBERS = itertools.count()


class Client(FastHttpUser):
    wait_time = constant(0)

    @task
    def predict(self) -> None:
        which = next(NUMBERS) % len(BODIES)
        with self.client.post("/predict", data=BODIES[which], headers=HEADERS, catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
                return
            found = [result["findings"][0]["probability"] for result in answer.json()["results"]]
            right = [abs(a - b) < 1e-4 for a, b in zip(found, EXPECTED[which], strict=True)]
            if not all(right):
                answer.failure("the answer of another image")


@events.quitting.add_listener
def _(environment, **_kwargs) -> None:  # type: ignore[no-untyped-def]
    """Leaves the processor seconds that the clients took."""
    (FOLDER / "client-seconds").write_text(str(sum(os.times()[:2])))
