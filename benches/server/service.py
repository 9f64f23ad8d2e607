"""The alert server that alertd follows, as its README describes it, in little: FastAPI, Redis pub/sub, PBKDF2.

Each request verifies its key with PBKDF2-SHA256, 100,000 iterations. Each stream has a subscription of its own at Redis,
and each alert is decoded and encoded for each stream. The newest alert is kept for 30 minutes and sent on connect.
"""

import base64
import hashlib
import hmac
import json
import os
import uuid
from datetime import datetime, timezone

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel
from redis.asyncio import BlockingConnectionPool, Redis

ITERATIONS = 100_000
CHANNEL = "alerts"
LATEST = "alerts:latest"
TTL = 30 * 60

with open(os.environ["AUTH_FILE"], encoding="utf-8") as file:
    USERS = json.load(file)

# Each stream keeps a connection, so there are as many as streams.
redis = Redis(connection_pool=BlockingConnectionPool(
    host="127.0.0.1", port=int(os.environ["REDIS_PORT"]), max_connections=30_000, timeout=None))
app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)


class Alert(BaseModel):
    """What a producer sends."""

    message: str
    level: str = "info"
    metadata: dict = {}


def verified(key: str) -> bool:
    """Whether the key is one of its user's."""
    try:
        user = base64.urlsafe_b64decode(key + "=" * (-len(key) % 4)).split(b":", 1)[0].decode()
    except ValueError:
        return False
    for entry in USERS.get(user, []):
        digest = hashlib.pbkdf2_hmac("sha256", key.encode(), entry["salt"].encode(), ITERATIONS)
        if hmac.compare_digest(digest.hex(), entry["hash"]):
            return True
    return False


class Authentication:
    """Plain ASGI, so that streams are not buffered."""

    def __init__(self, inner):
        self.inner = inner

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            fields = dict(scope["headers"])
            key = fields.get(b"authorization", b"").decode().removeprefix("Bearer ")
            if not verified(key):
                return await JSONResponse({"detail": "Unauthorized"}, 401)(scope, receive, send)
        return await self.inner(scope, receive, send)


@app.get("/health")
async def health():
    return {"status": "ok"}


@app.put("/alerts")
async def publish(alert: Alert):
    stored = alert.model_dump() | {"id": str(uuid.uuid4()), "created_at": datetime.now(timezone.utc).isoformat()}
    text = json.dumps(stored)
    await redis.set(LATEST, text, ex=TTL)
    await redis.publish(CHANNEL, text)
    return {"status": "alert stored", "alert": stored}


@app.get("/alerts")
async def stream(request: Request):
    async def events():
        pubsub = redis.pubsub()
        await pubsub.subscribe(CHANNEL)
        try:
            latest = await redis.get(LATEST)
            if latest:
                yield f"data: {json.dumps(json.loads(latest))}\n\n"
            async for message in pubsub.listen():
                if message["type"] == "message":
                    yield f"data: {json.dumps(json.loads(message['data']))}\n\n"
        finally:
            await pubsub.unsubscribe(CHANNEL)
            await pubsub.aclose()

    return StreamingResponse(events(), media_type="text/event-stream")


app.add_middleware(Authentication)
