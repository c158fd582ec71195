"""Open a notebook in a JupyterLab server and run its cells, as the page in the browser would.

    python ask_jupyter_lab.py FOLDER PORT book/intro.ipynb

Started by `tools/ways_in.py` with the Python of an environment that has jupyterlab and a kernel
called ``recflax``. The server decides where the kernel starts; nothing here tells it.
"""

import asyncio
import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.websocket import WebSocketClientConnection, websocket_connect


def message(code: str, session: str) -> dict[str, Any]:
    """A request to run a cell, as the protocol of Jupyter wants it."""
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "session": session}
    return {
        "channel": "shell",
        "header": header | {"username": "", "version": "5.3"},
        "parent_header": {},
        "metadata": {},
        "content": {"code": code, "silent": False, "store_history": True, "allow_stdin": False},
    }


async def run_cell(kernel: WebSocketClientConnection, code: str, session: str) -> str:
    """Run one cell; returns what was wrong, or nothing."""
    asked = message(code, session)
    await kernel.write_message(json.dumps(asked))
    wrong, replied, idle = "", False, False
    while not (replied and idle):
        answer = await kernel.read_message()
        if answer is None:
            return "the kernel is gone"
        told = json.loads(answer)
        if told["parent_header"].get("msg_id") != asked["header"]["msg_id"]:
            continue
        kind, content = told["header"]["msg_type"], told["content"]
        if kind == "error":
            wrong += "\n".join(content["traceback"])
        elif kind == "stream" and content["name"] == "stderr":
            wrong += content["text"]
        replied |= kind == "execute_reply"
        idle |= kind == "status" and content["execution_state"] == "idle"
    return wrong


async def answer_of(address: str, **given: Any) -> Any:
    """What the server answers; it is asked again while it starts."""
    for patience in range(60):
        try:
            reply = await AsyncHTTPClient().fetch(address, request_timeout=60, **given)
            return json.loads(reply.body)
        except (ConnectionError, HTTPClientError):
            if patience == 59:
                raise
            await asyncio.sleep(1)


async def run(port: int, token: str, path: Path, notebook: str) -> str:
    """Run a notebook cell by cell; returns what was wrong, or nothing."""
    query = f"?token={token}"
    await answer_of(f"http://127.0.0.1:{port}/api{query}")
    wanted = {
        "path": notebook,
        "name": path.name,
        "type": "notebook",
        "kernel": {"name": "recflax"},
    }
    address = f"http://127.0.0.1:{port}/api/sessions{query}"
    session = await answer_of(address, method="POST", body=json.dumps(wanted))
    address = f"ws://127.0.0.1:{port}/api/kernels/{session['kernel']['id']}/channels{query}"
    kernel = await websocket_connect(address, max_message_size=2**30)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    codes = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    for code in codes:
        if wrong := await run_cell(kernel, code, session["id"]):
            return f"{code}\n{wrong}"
    print(f"{path.name}: {len(codes)} cells passed")
    return ""


def main(folder: str, port: str, notebook: str) -> int:
    """Start the server, run the notebook, stop the server; returns the exit status."""
    token = uuid.uuid4().hex
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            *(f"--ServerApp.root_dir={folder}", f"--ServerApp.port={port}"),
            *(f"--IdentityProvider.token={token}", "--ServerApp.port_retries=0"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wrong = asyncio.run(run(int(port), token, Path(folder) / notebook, notebook))
    finally:
        server.terminate()
        server.wait(60)
    print(wrong)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
