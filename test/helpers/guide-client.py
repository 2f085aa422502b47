"""The Python of docs/write-a-client.md under the conformance kit; its first argument is the file with the page's blocks."""

import os
import sys

sys.path.append("examples/python")
from conformance import fetch_token, tell

exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"))


class Around:
    url = os.environ["IM_URL"]

    async def token(self):
        return await asyncio.to_thread(fetch_token)

    async def history(self, conversation, after):
        return []

    def show(self, message, conversation):
        tell("message", msg_id=message["msg_id"], conversation=conversation, content=message["content"], sequence_number=message["sequence_number"])

    def gap(self, conversation, after, before):
        tell("gap", conversation=conversation, after=after, before=before)

    def ended(self, code):
        tell("ended", code=code)


async def tell_outcome(ref, to, content):
    try:
        tell("sent", ref=ref, sequence_number=await send(to, content))
    except RuntimeError as error:
        tell("failed", ref=ref, error_code=str(error))


async def main():
    running = background(run())
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        command = json.loads(line)
        background(close() if command["do"] == "close" else tell_outcome(command["ref"], command["to"], command["content"]))
    running.cancel()


around = Around()
asyncio.run(main())
