"""Keeps the catalogues of translations in step with the code: python tools/translations.py --write.

Texts are found where the code marks them (``_``, ``N_``, ``ngettext``, ``NP_``), in --help, and in the documentation of
the situations and of the demos. --write puts new ones into each catalogue, empty, drops those that are gone, and
compiles; without it, what is missing is listed (exit status 1). A test holds the same.
"""

import argparse
import ast
import errno
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "src"))

import click  # noqa: E402
from babel.messages.catalog import Catalog  # noqa: E402
from babel.messages.mofile import write_mo  # noqa: E402
from babel.messages.pofile import read_po, write_po  # noqa: E402

from inuse.catalogue import serial_texts, vpn_texts  # noqa: E402
from inuse.cli import app  # noqa: E402
from inuse.cli.command import Verb, paragraphs  # noqa: E402
from inuse.demo.registry import DEMOS  # noqa: E402
from inuse.language import DOMAIN, FOLDER, LANGUAGES, speaking  # noqa: E402
from inuse.situations import paragraphs as parts_of  # noqa: E402
from inuse.situations import registry  # noqa: E402

#: The functions that mark texts, and how many of their arguments are texts.
KEYWORDS = {"_": 1, "N_": 1, "ngettext": 2, "NP_": 2}
DATED = re.compile(
    rb'^"(POT-Creation-Date|PO-Revision-Date|Generated-By|Last-Translator|Language-Team).*\n', re.MULTILINE
)
PLACEHOLDER = re.compile(r"\{[^{}]*\}")
#: What strerror(3) says of these is looked up wherever an error of the system is told.
ERRNOS = (
    *("EPERM", "ENOENT", "ESRCH", "EINTR", "EIO", "ENXIO", "EAGAIN", "ENOMEM", "EACCES", "EBUSY", "ENODEV", "ENOTDIR"),
    *("EISDIR", "EINVAL", "ENFILE", "EMFILE", "ENOSPC", "EROFS", "EPIPE", "ENAMETOOLONG", "ENOSYS", "ELOOP"),
    *("ENOTSOCK", "EPROTONOSUPPORT", "ENOTSUP", "EAFNOSUPPORT", "EADDRINUSE", "EADDRNOTAVAIL", "ECONNRESET"),
    *("ENOBUFS", "ENOTCONN", "ETIMEDOUT", "ECONNREFUSED", "ESTALE", "ENOEXEC", "E2BIG", "ETXTBSY"),
)
Text = str | tuple[str, str]


def marked() -> Iterator[tuple[str, Text]]:
    """Yield the texts that the code marks, each with the file it stands in."""
    for path in sorted((ROOT / "src/inuse").rglob("*.py")):
        name = str(path.relative_to(ROOT))
        yield from ((name, text) for node in ast.walk(ast.parse(path.read_text())) if (text := _marked(node)))


def _marked(node: ast.AST) -> Text | None:
    """Return the text of a call that marks one; within f-strings and other calls too."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        return None
    said = node.args[: KEYWORDS.get(node.func.id, 0)]
    texts = [one.value for one in said if isinstance(one, ast.Constant) and isinstance(one.value, str) and one.value]
    if not texts or len(texts) < len(said):
        return None
    return texts[0] if len(texts) == 1 else (texts[0], texts[1])


def documented() -> Iterator[tuple[str, str]]:
    """Yield the texts that are written once for several readers: help, situations, demos."""
    context = click.Context(app.app)
    with speaking("en"):
        for name in (app.DEFAULT, *app.VERBS):
            command = app.app.get_command(context, name)
            if not isinstance(command, Verb):
                raise TypeError(f"inuse {name} is no Verb: its help would not be translated")
            where = f"src/inuse/cli/{name}.py"
            yield from ((where, text) for text in paragraphs(command.help or ""))
        for situation in registry():
            where = f"src/inuse/situations/{situation.code.replace('-', '_')}"
            yield from ((where, " ".join(lines)) for lines in parts_of(situation.about))
        yield from (("src/inuse/demo", demo.story) for demo in DEMOS)
        yield from (("errno", os.strerror(getattr(errno, name))) for name in ERRNOS)
        yield from (("src/inuse/catalogue/serial.json", text) for text in serial_texts())
        yield from (("src/inuse/catalogue/vpn.json", text) for text in vpn_texts())


def template() -> Catalog:
    """Return the catalogue of all texts, without translations."""
    found = Catalog(domain=DOMAIN, project="inuse", fuzzy=False)
    for where, text in (*marked(), *documented()):
        found.add(text, locations=[(where, 1)])
    return found


def path_of(language: str) -> Path:
    """Return the file of a language's catalogue."""
    return Path(FOLDER) / language / "LC_MESSAGES" / f"{DOMAIN}.po"


def load(language: str) -> Catalog:
    """Read a language's catalogue; an empty one where there is none."""
    path = path_of(language)
    if not path.exists():
        return Catalog(locale=language, domain=DOMAIN, fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale=language, domain=DOMAIN)


def updated(language: str) -> Catalog:
    """Return a language's catalogue with just the texts that there are now; new ones are empty."""
    old = load(language)
    new = Catalog(locale=language, domain=DOMAIN, project="inuse", fuzzy=False)
    for message in template():
        if message.id:
            known = old.get(message.id)
            new.add(message.id, known.string if known else "", locations=sorted(set(message.locations)))
    return new


def troubles(catalogue: Catalog) -> Iterator[str]:
    """Yield what is wrong with a catalogue: missing, marked as unsure, or with other placeholders."""
    for message in catalogue:
        if not message.id:
            continue
        texts, said = _forms(message.id), _forms(message.string or "")
        if not all(said) or len(said) < len(texts):
            yield f"not translated: {texts[0]!r}"
        elif message.fuzzy:
            yield f"fuzzy: {texts[0]!r}"
        else:
            pairs = zip(texts, said, strict=False)
            yield from (f"other placeholders: {text!r}" for text, told in pairs if holes(text) != holes(told))


def _forms(text: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)


def holes(text: str) -> set[str]:
    """Return the placeholders of a text."""
    return set(PLACEHOLDER.findall(text))


def text_of(catalogue: Catalog) -> bytes:
    """Write a catalogue as a .po file: sorted, the same on every machine."""
    buffer = BytesIO()
    write_po(buffer, catalogue, width=110, sort_by_file=True, omit_header=False, include_lineno=False)
    return DATED.sub(b"", buffer.getvalue())


def compiled(catalogue: Catalog) -> bytes:
    """Compile a catalogue, as gettext reads it: the same at every time."""
    catalogue.creation_date = catalogue.revision_date = datetime(2000, 1, 1, tzinfo=UTC)
    buffer = BytesIO()
    write_mo(buffer, catalogue)
    return buffer.getvalue()


def main() -> int:
    """Bring the catalogues up to date, or say what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the catalogues")
    options = parser.parse_args()
    found = []
    for language in LANGUAGES[1:]:
        catalogue = updated(language)
        if options.write:
            path_of(language).parent.mkdir(parents=True, exist_ok=True)
            path_of(language).write_bytes(text_of(catalogue))
            path_of(language).with_suffix(".mo").write_bytes(compiled(load(language)))
        found += [f"{language}: {trouble}" for trouble in troubles(catalogue)]
    print("\n".join(found) or "complete")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
