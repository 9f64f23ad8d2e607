"""Follows a stream with httpx-sse, resuming by id as its documentation has it, and prints what it gets."""

import os
import time

import httpx
import httpx_sse

last = ""
while True:
    headers = {"Authorization": "Bearer " + os.environ["KEY"]}
    if last:
        headers["Last-Event-ID"] = last
    try:
        with httpx.Client(timeout=30) as client:
            with httpx_sse.connect_sse(client, "GET", os.environ["URL_TO_FOLLOW"], headers=headers) as source:
                print("open", flush=True)
                for event in source.iter_sse():
                    last = event.id or last
                    if event.event == "message":
                        print("alert", event.id, event.json()["message"], flush=True)
                    else:
                        print(event.event, event.data, flush=True)
    except httpx.TransportError:
        pass
    print("error", flush=True)
    time.sleep(0.1)
