"""Test the HTML pages in a real browser: they work, and load nothing from other hosts."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from storage.demo.home import load_home
from tests.conftest import Gateway, StartGateway
from tests.resolvers.home import until

SCREENSHOTS = os.environ.get("SCREENSHOTS")
"""The folder that screenshots are saved in."""


@dataclass
class Tab:
    """A page of the gateway in the browser, with its requests and errors."""

    page: Page
    url: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    async def open(self, path: str) -> None:
        """Open a path, and wait until all requests have finished."""
        await self.page.goto(f"{self.url}{path}", wait_until="networkidle")

    async def picture(self, name: str) -> None:
        """Save a screenshot, if a folder for them is set."""
        if SCREENSHOTS:
            await self.page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")


@pytest.fixture
async def tab(browser: Browser, gateway: Gateway) -> AsyncIterator[Tab]:
    """A new tab. At the end, its requests and the messages of the browser are checked."""
    await load_home(gateway.database)
    page = await browser.new_page(viewport={"width": 1280, "height": 900})
    opened = Tab(page, gateway.url)
    page.on("request", lambda request: opened.requests.append(request.url))
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            opened.complaints.append(f"{message.text} ({message.location})")
            if message.type in ("error", "warning")
            else None
        ),
    )
    yield opened
    await page.close()
    own = (f"{gateway.url}/", "data:", "blob:")
    assert [url for url in opened.requests if not url.startswith(own)] == []
    assert opened.complaints == []


async def test_the_entry_page_links_to_every_page(tab: Tab, gateway: Gateway) -> None:
    await tab.open("/")
    await tab.picture("index")
    await expect(tab.page.get_by_role("heading", name="Process gateway")).to_be_visible()
    links = await tab.page.locator("a").evaluate_all("links => links.map(link => link.pathname)")
    assert {"/graphql", "/docs", "/openapi/process.json", "/health"} <= set(links)
    look = {"Accept": "text/html"}
    for path in links:
        assert (await gateway.call("GET", path, headers=look, profile=None)).status == 200


async def test_the_documentation_of_both_dialects_works(tab: Tab, gateway: Gateway) -> None:
    await tab.open("/docs")
    operations = tab.page.locator(".opblock")
    await expect(operations).to_have_count(13)
    await tab.picture("docs-process")
    await expect(tab.page.locator(".info .title")).to_contain_text("The /process dialect")

    # Authorize, and try out reading a process.
    await tab.page.get_by_role("button", name="Authorize").first.click()
    await tab.page.locator(".auth-container input").first.fill(await gateway.token())
    await tab.page.locator(".auth-container button.authorize").first.click()
    await tab.picture("docs-authorize")
    await tab.page.locator(".modal-ux button.btn-done").first.click()
    reading = operations.filter(has=tab.page.locator("[data-path='/process/{idProcess}']")).first
    await reading.locator(".opblock-summary").click()
    await reading.get_by_role("button", name="Try it out").click()
    await reading.locator(".parameters input").first.fill("1")
    await reading.get_by_role("button", name="Execute").click()
    answer = reading.locator(".live-responses-table")
    await expect(answer.locator(".response-col_status").last).to_contain_text("200")
    await expect(answer).to_contain_text('"reference"')
    await answer.scroll_into_view_if_needed()
    await tab.picture("docs-tried")

    # The other dialect is selected at the top, and uses the same token.
    await tab.page.locator("#select").select_option(label="/processes dialect")
    await expect(operations).to_have_count(3)
    await tab.picture("docs-processes")
    await operations.first.locator(".opblock-summary").click()
    await operations.first.get_by_role("button", name="Try it out").click()
    await operations.first.get_by_role("button", name="Execute").click()
    await expect(operations.first.locator(".live-responses-table")).to_contain_text('"processes"')


@pytest.mark.parametrize(
    ("settings", "command"),
    [
        ({"data_dir": "/srv/home"}, "process-gateway token --profile admin --data-dir /srv/home"),
        (
            {"data_dir": "here"},
            f"process-gateway token --profile admin --data-dir {Path.cwd()}/here",
        ),
        (
            {"data_dir": '/srv/<b>\'s & "home"'},
            "process-gateway token --profile admin --data-dir"
            " &#x27;/srv/&lt;b&gt;&#x27;&quot;&#x27;&quot;&#x27;s &amp; &quot;home&quot;&#x27;",
        ),
        (
            {"database_url": "postgresql://me:sesame@db/home", "data_dir": "/srv/home"},
            "process-gateway token --profile admin",
        ),
    ],
)
async def test_graphiql_shows_how_to_get_a_token_of_this_gateway(
    start_gateway: StartGateway, settings: dict[str, str], command: str
) -> None:
    async with start_gateway(**settings) as gateway:
        look = {"Accept": "text/html"}
        page = await gateway.call("GET", "/graphql", headers=look, profile=None)
        assert f"<code>{command}</code>" in page.body.decode()
        assert "sesame" not in page.body.decode()


async def test_graphiql_runs_a_query_and_shows_the_schema(tab: Tab, gateway: Gateway) -> None:
    await tab.open("/graphql")
    await expect(tab.page.locator(".graphiql-container")).to_be_visible()
    await expect(tab.page.locator(".hint")).to_contain_text("token --profile admin --data-dir /")
    await tab.picture("graphiql")
    await tab.page.get_by_label("Access token").fill(await gateway.token())
    await tab.page.get_by_role("button", name="Execute query").click()
    answer = tab.page.locator(".result-window")
    await expect(answer).to_contain_text('"totalCount"')
    await expect(answer).to_contain_text('"displayName"')
    await tab.picture("graphiql-answer")

    await tab.page.get_by_role("button", name="Show Documentation Explorer").click()
    explorer = tab.page.locator(".graphiql-doc-explorer")
    await explorer.get_by_text("Query", exact=True).first.click()
    await expect(explorer).to_contain_text("processes")
    await tab.picture("graphiql-schema")

    # The token is kept when the page is reopened, and the default query works.
    await tab.open("/graphql")
    await tab.page.get_by_role("button", name="Execute query").click()
    await expect(answer).to_contain_text('"totalCount"')


async def execute(tab: Tab, operation: str) -> None:
    """Replace the operation in the editor of GraphiQL, and execute it."""
    await tab.page.locator(".graphiql-query-editor .CodeMirror").click()
    await tab.page.keyboard.press("Control+A")
    await tab.page.keyboard.insert_text(operation)
    await tab.page.get_by_role("button", name="Execute query").click()


async def test_graphiql_runs_a_subscription(tab: Tab, gateway: Gateway) -> None:
    await tab.open("/graphql")
    await tab.page.get_by_label("Access token").fill(await gateway.token())
    await execute(tab, "subscription { process(databaseId: 3) { name } }")
    answer = tab.page.locator(".result-window")
    await expect(answer).to_contain_text("All lights off")
    await gateway.run("UPDATE process SET name = 'Darkness' WHERE id = 3")
    await expect(answer).to_contain_text("Darkness")
    await tab.picture("graphiql-subscription")

    # The button stops it. Then nothing is subscribed any more.
    await tab.page.get_by_role("button", name="Stop query").click()

    async def ended() -> bool:
        return gateway.services.subscriptions.count == 0

    await until(ended)


async def test_graphiql_shows_the_error_of_a_subscription(tab: Tab, gateway: Gateway) -> None:
    await tab.open("/graphql")
    await tab.page.get_by_label("Access token").fill(await gateway.token())
    await execute(tab, "subscription { process { name } }")
    answer = tab.page.locator(".result-window")
    await expect(answer).to_contain_text('"BAD_USER_INPUT"')
