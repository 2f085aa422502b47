"""The Python client under the conformance kit: npx im-gateway check-client -- python3 examples/python/conformance.py"""

import asyncio
import json
import os
import sys
import urllib.request

from im_client import ImClient, SendError


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def fetch_token():
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(os.environ["IM_TOKEN_URL"], timeout=10) as response:
        return response.read().decode()


async def send(client, ref, to, content):
    try:
        tell("sent", ref=ref, sequence_number=await client.send(to, content))
    except SendError as error:
        tell("failed", ref=ref, error_code=error.code)


async def main():
    client = ImClient(
        os.environ["IM_URL"],
        lambda: asyncio.to_thread(fetch_token),
        on_message=lambda conversation, frame: tell("message", msg_id=frame["msg_id"], conversation=conversation, content=frame["content"], sequence_number=frame["sequence_number"]),
        on_gap=lambda conversation, after, before: tell("gap", conversation=conversation, after=after, before=before),
        on_end=lambda code: tell("ended", code=code),
    )
    running = asyncio.create_task(client.run())
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    tasks = set()  # a task that nobody holds may be collected
    while line := await lines.readline():
        command = json.loads(line)
        task = client.close() if command["do"] == "close" else send(client, command["ref"], command["to"], command["content"])
        tasks.add(asyncio.create_task(task))
    running.cancel()


if __name__ == "__main__":
    asyncio.run(main())
