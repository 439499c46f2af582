"""PyPI langchain-mcp-adapters: tools as LangChain gives them to a model."""

from contextlib import asynccontextmanager

from driver import drive
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from mcp1 import provider


@asynccontextmanager
async def opened(url, folder):
    connection = {"transport": "streamable_http", "url": url, "auth": provider(url, folder)}
    client = MultiServerMCPClient({"observed": connection})
    async with client.session("observed") as session:
        tools = {tool.name: tool for tool in await load_mcp_tools(session)}

        async def call(name: str):
            return await tools[name].ainvoke({})

        yield call


if __name__ == "__main__":
    drive(opened)
