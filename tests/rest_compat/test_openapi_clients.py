"""Lint the OpenAPI documents, and generate clients from them that call every route."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from storage.demo.home import load_home
from tests.conftest import Gateway, StartGateway
from tests.gateway.programs import require_program
from tests.rest_compat.clients.operations import calls
from tests.rest_compat.documents import answer_example, is_beginning
from tests.rest_compat.openapi_tools import call_all, generate, require_tools, run_tool

DIALECTS = ["process", "processes"]


@pytest.fixture(autouse=True)
def _tools() -> None:
    require_tools()


async def save(gateway: Gateway, dialect: str, folder: Path) -> Path:
    """Save the document that a gateway serves; return its path."""
    path = folder / f"{dialect}.json"
    path.write_bytes((await gateway.call("GET", f"/openapi/{dialect}.json", profile=None)).body)
    return path


def expect_examples(document: Path, answers: list[dict[str, Any]]) -> None:
    """Require that every operation was called, and answered as its example says."""
    parsed = json.loads(document.read_text())
    assert [answer["operation"] for answer in answers] == [call.operation for call in calls(parsed)]
    for answer in answers:
        assert answer["status"] == 200, answer
        assert is_beginning(answer_example(parsed, answer["operation"]), answer["answer"]), answer


def expect_methods(document: Path, sources: list[Path]) -> None:
    """Require a method for every operation, which generators name in camelCase."""
    text = "\n".join(source.read_text() for source in sources)
    for call in calls(json.loads(document.read_text())):
        name = call.operation[0].lower() + call.operation[1:]
        assert f" {name}(" in text, f"there is no method {name}"


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_openapi_python_client(home: Gateway, dialect: str, tmp_path: Path) -> None:
    await call_with_openapi_python_client(home, await save(home, dialect, tmp_path))


async def call_with_openapi_python_client(gateway: Gateway, document: Path) -> None:
    """Generate a client with openapi-python-client, without warnings, and call every operation."""
    folder = document.parent
    options = ("--meta", "none", "--fail-on-warning", "--output-path", folder / "generated")
    await run_tool("openapi-python-client", "generate", "--path", document, *options)
    script, token = "call_openapi_python_client", await gateway.token()
    expect_examples(document, await call_all(script, folder, document, gateway.url, token))


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_openapi_generator_python(home: Gateway, dialect: str, tmp_path: Path) -> None:
    require_program("java")
    document = await save(home, dialect, tmp_path)
    await generate("python", document, tmp_path / "python")
    script, token = "call_openapi_generator", await home.token()
    answers = await call_all(script, tmp_path / "python", document, home.url, token)
    expect_examples(document, answers)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_openapi_generator_typescript(gateway: Gateway, dialect: str, tmp_path: Path) -> None:
    require_program("java")
    document = await save(gateway, dialect, tmp_path)
    folder = tmp_path / "typescript"
    await generate("typescript-fetch", document, folder)
    sources = list(folder.rglob("*.ts"))
    await run_tool("tsc", "--noEmit", "--strict", "--target", "es2022", *sources)
    expect_methods(document, sources)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_openapi_generator_java(gateway: Gateway, dialect: str, tmp_path: Path) -> None:
    require_program("javac")
    document = await save(gateway, dialect, tmp_path)
    folder = tmp_path / "java"
    properties = "--additional-properties=openApiNullable=false"
    await generate("java", document, folder, "--library", "native", properties)
    # The JDK and the generator's jar have all imports of the client except this annotation.
    annotation = folder / "src/main/java/javax/annotation/Generated.java"
    annotation.parent.mkdir(parents=True)
    annotation.write_text(
        "package javax.annotation;\n"
        "public @interface Generated { String value(); String date(); String comments(); }\n"
    )
    sources = list((folder / "src/main").rglob("*.java"))
    find = "import openapi_generator_cli as it; print(next(iter(it.__path__)))"
    jars = f"{(await run_tool('python', '-c', find)).strip()}/*"
    await run_tool(
        "javac", "-nowarn", "-proc:none", "-cp", jars, "-d", tmp_path / "classes", *sources
    )
    expect_methods(document, sources)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_linters_have_no_warnings(gateway: Gateway, dialect: str, tmp_path: Path) -> None:
    await lint(await save(gateway, dialect, tmp_path))


async def test_the_document_of_always_200_is_usable(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    async with start_gateway(process_dialect_status="always-200") as gateway:
        assert await load_home(gateway.database)
        document = await save(gateway, "process", tmp_path)
        # In this mode no answer has a 4xx status, so the rule that requires one cannot hold.
        await lint(document, "--skip-rule", "operation-4xx-response")
        await call_with_openapi_python_client(gateway, document)


async def lint(document: Path, *redocly_options: str) -> None:
    """Require that neither linter warns about a document."""
    folder = document.parent
    (folder / "spectral.yaml").write_text('extends: ["spectral:oas"]\n')
    (folder / "redocly.yaml").write_text("extends: [recommended]\n")
    spectral = ("spectral", "lint", "--ruleset", "spectral.yaml", "--fail-severity", "hint")
    await run_tool(*spectral, document.name, cwd=folder)
    redocly = ("redocly", "lint", "--format", "json", *redocly_options)
    printed = await run_tool(*redocly, document.name, cwd=folder)
    assert json.loads(printed)["problems"] == []
