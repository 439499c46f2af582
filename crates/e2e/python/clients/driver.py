"""What the drivers of Python clients share; see ../../node/clients/driver.mjs, whose story and output this repeats.

`python DRIVER URL FOLDER STEP...`; a step is the name of a tool, or `wait:MILLISECONDS`.
"""

import asyncio
import json
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlparse
from urllib.request import HTTPRedirectHandler, Request, build_opener


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def visit(url: str) -> dict[str, str]:
    """Opens an authorization URL, and gives what comes back: the person says yes at once."""
    try:
        build_opener(_Stay).open(Request(url, headers={"x-observed": "person"}))
    except HTTPError as answer:
        query = parse_qs(urlparse(answer.headers["location"]).query)
        return {name: values[0] for name, values in query.items()}
    raise RuntimeError("the authorization endpoint did not redirect")


def file_storage(folder: Path, token_type, client_type):
    """A `TokenStorage` of either SDK that keeps its two things in files."""

    class Storage:
        async def _read(self, name, kind):
            path = folder / name
            return kind.model_validate_json(path.read_text()) if path.exists() else None

        async def _write(self, name, value):
            (folder / name).write_text(value.model_dump_json(exclude_none=True))

        async def get_tokens(self):
            return await self._read("tokens.json", token_type)

        async def set_tokens(self, tokens):
            await self._write("tokens.json", tokens)

        async def get_client_info(self):
            return await self._read("client.json", client_type)

        async def set_client_info(self, client_info):
            await self._write("client.json", client_info)

    return Storage()


def innermost(error: BaseException) -> BaseException:
    """What went wrong, out of the groups that task groups put around it."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return error


def seen(error: BaseException) -> dict:
    """An error as a program sees it."""
    error = innermost(error)
    shown = {"name": type(error).__name__, "message": str(error)}
    told = getattr(error, "error", None)
    if told is not None:
        shown["code"] = getattr(told, "code", None)
        shown["data"] = getattr(told, "data", None)
    return shown


def plain(value):
    """A result as JSON."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_none=True, by_alias=True)
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, str | int | float | bool | dict | None):
        return value
    return {name: plain(one) for name, one in vars(value).items() if not name.startswith("_")}


def drive(opened) -> None:
    """Runs the story. `opened(url, folder)` is an async context manager of a `call(name)`."""

    async def story() -> dict:
        url, folder, *steps = sys.argv[1:]
        report = []
        connected = False
        try:
            async with opened(url, Path(folder)) as call:
                connected = True
                for step in steps:
                    if step.startswith("wait:"):
                        await asyncio.sleep(int(step[5:]) / 1000)
                        continue
                    try:
                        report.append({"step": step, "result": plain(await asyncio.wait_for(call(step), 20))})
                    except Exception as error:  # noqa: BLE001 - whatever a client raises is what is looked at
                        report.append({"step": step, "error": seen(error)})
        except BaseException as error:  # noqa: BLE001
            if not connected:
                return {"connected": False, "error": seen(error)}
            # The connection itself fell while a call was made: its caller sees just that.
            calls = [step for step in steps if not step.startswith("wait:")]
            report.extend({"step": step, "error": seen(error)} for step in calls[len(report) :])
        return {"connected": True, "steps": report}

    print(json.dumps({"ok": True, **asyncio.run(asyncio.wait_for(story(), 55))}), flush=True)
