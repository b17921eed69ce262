"""What lies in the keys folder: what counts, what is passed over, what is a fault."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from relay.keyring.folder import domain_folders, folders_by_domain, list_keys, taken_selectors

if TYPE_CHECKING:
    from tests.unit.keyring.conftest import PutKey


def test_keys_by_domain_and_selector(put_key: PutKey, keys_dir: Path) -> None:
    """Folders are domains in either spelling, files are selectors, dots in them included."""
    put_key("example.com/s2.pem", b"")
    put_key("example.com/S1.pem", b"")
    put_key("Bücher.example/2026.11.pem", b"")
    listing = list_keys(keys_dir)
    assert [(f.domain, f.selector, f.path.name) for f in listing.found] == [
        ("example.com", "s1", "S1.pem"),
        ("example.com", "s2", "s2.pem"),
        ("xn--bcher-kva.example", "2026.11", "2026.11.pem"),
    ]
    assert listing.domains == {"example.com": [], "xn--bcher-kva.example": []}
    assert (listing.faults, listing.warnings) == ([], [])


def test_what_is_passed_over(put_key: PutKey, keys_dir: Path) -> None:
    """Records, notes, backups, and everything that begins with a dot."""
    for name in (
        "README.md",
        ".git/config",
        "..data/s1.pem",
        "..2026_11_20/s1.pem",
        "example.com/s1.txt",
        "example.com/s1.pem~",
        "example.com/.s1.pem",
        "example.com/.s1.pem.swp",
        "example.com/.pem",
    ):
        put_key(name, b"")
    listing = list_keys(keys_dir)
    assert (listing.found, listing.faults, listing.warnings) == ([], [], [])
    assert listing.domains == {"example.com": []}


def test_a_key_directly_in_the_folder_is_a_warning(put_key: PutKey, keys_dir: Path) -> None:
    """It is not used, and the warning says where it belongs."""
    path = put_key("s1.pem")
    (warning,) = list_keys(keys_dir).warnings
    assert warning.where == str(path)
    assert warning.fix == f"it belongs in {keys_dir}/<domain>/"


def test_a_bad_folder_name_is_a_fault_of_that_folder(put_key: PutKey, keys_dir: Path) -> None:
    """Its neighbours go on; lost+found comes with a mounted disk."""
    put_key("example.com/s1.pem", b"")
    put_key("lost+found/s1.pem", b"")
    put_key("localhost/s1.pem", b"")
    listing = list_keys(keys_dir)
    assert [found.domain for found in listing.found] == ["example.com"]
    assert [fault.where for fault in listing.faults] == [
        str(keys_dir / "localhost"),
        str(keys_dir / "lost+found"),
    ]


def test_a_folder_name_that_is_not_utf8(keys_dir: Path) -> None:
    """Shown escaped; nothing raises."""
    os.mkdir(os.fsencode(keys_dir) + b"/b\xfccher.example")
    (fault,) = list_keys(keys_dir).faults
    assert fault.where == f"{keys_dir}/b\\udcfccher.example"


def test_a_bad_file_name_is_a_fault_of_that_file(put_key: PutKey, keys_dir: Path) -> None:
    """The other keys of the domain go on."""
    put_key("example.com/s1.pem", b"")
    bad = put_key("example.com/my key.pem", b"")
    listing = list_keys(keys_dir)
    assert [found.selector for found in listing.found] == ["s1"]
    (fault,) = listing.domains["example.com"]
    assert fault.where == str(bad)
    assert "<selector>.pem" in fault.fix


def test_two_spellings_of_a_domain_are_one_domain(put_key: PutKey, keys_dir: Path) -> None:
    """Keys of both folders count; the second key of a selector is a fault, not a surprise."""
    first = put_key("bücher.example/s1.pem", b"")
    put_key("xn--bcher-kva.example/s2.pem", b"")
    second = put_key("xn--bcher-kva.example/s1.pem", b"")
    listing = list_keys(keys_dir)
    assert [found.selector for found in listing.found] == ["s1", "s2"]
    (fault,) = listing.domains["xn--bcher-kva.example"]
    assert fault.where == str(second)
    assert str(first) in fault.what
    assert fault.fix == "remove one of the two files"


def test_a_keys_folder_that_is_not_there(tmp_path: Path) -> None:
    """A fault with the command that makes it."""
    absent = tmp_path / "keys"
    listing = list_keys(absent)
    (fault,) = listing.faults
    assert (fault.where, fault.fix) == (str(absent), f"mkdir -m 0700 {absent}")
    assert listing.domains == {}


def test_a_keys_folder_that_is_a_file(tmp_path: Path) -> None:
    """A fault."""
    (tmp_path / "keys").write_text("")
    (fault,) = list_keys(tmp_path / "keys").faults
    assert fault.what == "is not a folder"


def test_links(keys_dir: Path, tmp_path: Path, put_key: PutKey) -> None:
    """A link to a folder is a folder. One that leads nowhere still names a domain of ours."""
    put_key("real.example/s1.pem", b"")
    (keys_dir / "linked.example").symlink_to("real.example")
    (keys_dir / "dangling.example").symlink_to(tmp_path / "nowhere")
    (keys_dir / "loop.example").symlink_to("loop.example")
    listing = list_keys(keys_dir)
    assert [found.domain for found in listing.found] == ["linked.example", "real.example"]
    assert [fault.what for fault in listing.domains["dangling.example"]] == [
        "the folder does not exist"
    ]
    assert len(listing.domains["loop.example"]) == 1


def test_selectors_that_are_taken(put_key: PutKey, keys_dir: Path) -> None:
    """Keys and records, in every folder that means the domain."""
    put_key("bücher.example/S1.pem", b"")
    put_key("xn--bcher-kva.example/s2.txt", b"")
    put_key("xn--bcher-kva.example/s3.md", b"")
    put_key("other.example/s4.pem", b"")
    assert taken_selectors(keys_dir, "xn--bcher-kva.example") == {"s1", "s2"}
    assert taken_selectors(keys_dir / "absent", "example.com") == frozenset()
    assert len(domain_folders(keys_dir, "xn--bcher-kva.example")) == 2


def test_folders_of_many_domains(keys_dir: Path) -> None:
    """Each in its spelling, plain names first; files, strangers and the absent are left out."""
    for name in ("plain.example", "PLAIN.example", "Upper.Example", "bücher.example", "other"):
        (keys_dir / name).mkdir()
    (keys_dir / "file.example").touch()
    wanted = ["plain.example", "upper.example", "xn--bcher-kva.example", "absent.example"]
    found = folders_by_domain(keys_dir, wanted)
    assert {domain: folder.name for domain, folder in found.items()} == {
        "plain.example": "plain.example",
        "upper.example": "Upper.Example",
        "xn--bcher-kva.example": "bücher.example",
    }
    assert folders_by_domain(keys_dir / "nowhere", wanted) == {}
