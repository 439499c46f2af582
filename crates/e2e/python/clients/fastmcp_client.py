"""PyPI fastmcp 3.x and 4.x, which share this API. The browser is `$BROWSER`; the client listens for the answer itself."""

from contextlib import asynccontextmanager

from driver import drive
from fastmcp import Client
from fastmcp.client.auth import OAuth
from key_value.aio.stores.filetree import (
    FileTreeStore,
    FileTreeV1CollectionSanitizationStrategy,
    FileTreeV1KeySanitizationStrategy,
)


@asynccontextmanager
async def opened(url, folder):
    store = FileTreeStore(
        data_directory=folder,
        key_sanitization_strategy=FileTreeV1KeySanitizationStrategy(folder),
        collection_sanitization_strategy=FileTreeV1CollectionSanitizationStrategy(folder),
    )
    auth = OAuth(client_name="observed", token_storage=store)
    async with Client(url, auth=auth) as client:

        async def call(name: str):
            return await client.call_tool(name, {})

        yield call


if __name__ == "__main__":
    drive(opened)
