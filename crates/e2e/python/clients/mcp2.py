"""PyPI mcp 2.x, in its default mode: it asks `server/discover` first and falls back to `initialize`."""

from contextlib import asynccontextmanager

import httpx2
from driver import drive, file_storage, visit
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken


def provider(url, folder):
    answer = {}

    async def redirect(address: str) -> None:
        answer.update(visit(address))

    async def callback():
        return AuthorizationCodeResult(code=answer["code"], state=answer.get("state"), iss=answer.get("iss"))

    metadata = OAuthClientMetadata(
        client_name="observed",
        redirect_uris=["http://localhost:3999/callback"],
        token_endpoint_auth_method="none",
    )
    return OAuthClientProvider(
        server_url=url,
        client_metadata=metadata,
        storage=file_storage(folder, OAuthToken, OAuthClientInformationFull),
        redirect_handler=redirect,
        callback_handler=callback,
    )


@asynccontextmanager
async def opened(url, folder):
    async with httpx2.AsyncClient(auth=provider(url, folder), timeout=15) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:

            async def call(name: str):
                return await client.call_tool(name, {})

            yield call


if __name__ == "__main__":
    drive(opened)
