"""PyPI mcp 1.x."""

from contextlib import asynccontextmanager

from driver import drive, file_storage, visit
from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamablehttp_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken


def provider(url, folder):
    answer = {}

    async def redirect(address: str) -> None:
        answer.update(visit(address))

    async def callback():
        return answer["code"], answer.get("state")

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
    async with (
        streamablehttp_client(url, auth=provider(url, folder)) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()

        async def call(name: str):
            return await session.call_tool(name, {})

        yield call


if __name__ == "__main__":
    drive(opened)
