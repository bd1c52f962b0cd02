"""Reading: everything readable is returned, the rest is named, and no content of a file raises another error."""

import random
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from schwabstream.errors import ConfigurationError
from schwabstream.recording.format import Header, Record, encode_header, encode_record
from schwabstream.recording.reader import Recording

HEADER = Header("1", ("/NQ",), ("LEVELONE_FUTURES",), "UTC", 1_795_228_666_976_396, part_us=1_795_228_666_976_396)
RECORDS = [Record(1_795_228_667_000_000 + n, "in", f'{{"data":[{{"n":{n},"x":"{n * n}"}}]}}') for n in range(60)]
CHECKED = {zstd.CompressionParameter.checksum_flag: 1}
PER_FRAME = 10


def frames() -> list[bytes]:
    """The recording as its zstandard frames, the header's first."""
    groups = [RECORDS[start : start + PER_FRAME] for start in range(0, len(RECORDS), PER_FRAME)]
    bodies = [encode_header(HEADER), *(b"".join(map(encode_record, group)) for group in groups)]
    return [zstd.compress(body, options={int(name): value for name, value in CHECKED.items()}) for body in bodies]


def read(path: Path, content: bytes) -> tuple[list[Record], list[str]]:
    """The records and the problems of a file with that content."""
    path.write_bytes(content)
    with Recording(path) as recording:
        return [item for item in recording.items() if isinstance(item, Record)], recording.problems


def test_a_whole_file_is_read_whole(tmp_path: Path) -> None:
    """Every record in order, no problem, and the position ends at the size."""
    path = tmp_path / "day.zst"
    path.write_bytes(b"".join(frames()))
    with Recording(path) as recording:
        assert recording.header == HEADER
        assert list(recording.items()) == [HEADER, *RECORDS]
        assert recording.problems == []
        assert recording.position == recording.size


def test_plain_lines_are_a_recording_too(tmp_path: Path) -> None:
    """A recording that was decompressed, perhaps edited, reads the same."""
    plain = b"".join(map(zstd.decompress, frames()))
    assert read(tmp_path / "day.jsonl", plain) == (RECORDS, [])


def test_one_large_frame_is_a_recording_too(tmp_path: Path) -> None:
    """A recording that was compressed again in one frame reads the same."""
    plain = b"".join(map(zstd.decompress, frames()))
    assert read(tmp_path / "day.zst", zstd.compress(plain)) == (RECORDS, [])


def test_cut_off_anywhere_all_whole_frames_are_read(tmp_path: Path) -> None:
    """At every byte: what was flushed before it is read, and the missing end is named; within the header, refused."""
    pieces = frames()
    content, ends = b"".join(pieces), [sum(map(len, pieces[: n + 1])) for n in range(len(pieces))]
    path = tmp_path / "day.zst"
    for length in range(len(content)):
        if length < ends[0] - 4:  # the header's checksum may be missing
            with pytest.raises(ConfigurationError, match="not a recording"):
                read(path, content[:length])
            continue
        records, problems = read(path, content[:length])
        whole = max(0, sum(end <= length for end in ends) - 1)
        assert records[: whole * PER_FRAME] == RECORDS[: whole * PER_FRAME]
        assert records == RECORDS[: len(records)]
        assert bool(problems) == (length not in ends)


def test_damage_costs_its_frame_only(tmp_path: Path) -> None:
    """A flipped byte anywhere after the header never raises, and what follows the damage is read."""
    pieces = frames()
    content, ends = bytearray(b"".join(pieces)), [sum(map(len, pieces[: n + 1])) for n in range(len(pieces))]
    chance = random.Random(7)
    for place in chance.sample(range(ends[0], ends[-2]), 150):
        damaged = bytearray(content)
        damaged[place] ^= 1 << chance.randrange(8)
        records, problems = read(tmp_path / "day.zst", bytes(damaged))
        hit = sum(end <= place for end in ends) - 1
        kept = RECORDS[: hit * PER_FRAME] + RECORDS[(hit + 1) * PER_FRAME :]
        # A bit that zstandard does not use may be flipped without harm.
        assert records in (kept, RECORDS), place
        assert bool(problems) == (records == kept)


def test_something_foreign_between_frames_is_named(tmp_path: Path) -> None:
    """Foreign bytes cost only themselves, and their place is named."""
    pieces = frames()
    noise = b"not zstandard at all"
    records, problems = read(tmp_path / "day.zst", b"".join([*pieces[:3], noise, *pieces[3:]]))
    assert records == RECORDS
    start = sum(map(len, pieces[:3]))
    assert problems == [f"bytes {start:,} to {start + len(noise):,} are damaged"]


def test_lines_that_are_no_records_are_counted(tmp_path: Path) -> None:
    """The first is named by its number, all of them by their count."""
    lines = [encode_header(HEADER), b"{}\n", encode_record(RECORDS[0]), b"nonsense\n", encode_record(RECORDS[1])]
    records, problems = read(tmp_path / "day.jsonl", b"".join(lines))
    assert records == RECORDS[:2]
    assert problems == ["line 2 is not a record", "2 lines in total are not records"]


def test_two_recordings_in_one_file_are_both_read(tmp_path: Path) -> None:
    """``cat a b > c`` makes a recording; the second header is given where it stands."""
    path = tmp_path / "day.zst"
    path.write_bytes(b"".join(frames()) * 2)
    with Recording(path) as recording:
        assert list(recording.items()) == [HEADER, *RECORDS, HEADER, *RECORDS]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"root:x:0:0:root:/root:/bin/bash\n", "does not begin with a header"),
        (zstd.compress(b"some text\n"), "does not begin with a header"),
        (zstd.ZstdCompressor().compress(b"") + b"\x28\xb5\x2f\xfd\x00", "first line"),
        (b"\x28\xb5\x2f\xfd" + bytes(100), "first line"),
        (bytes(3 * 2**20), "first line"),
        (encode_header(HEADER).replace(b'"format":1', b'"format":99'), "does not support format 99"),
    ],
)
def test_a_file_that_is_not_a_recording_is_refused_in_one_sentence(tmp_path: Path, content: bytes, reason: str) -> None:
    """Foreign files are exit 2, naming the file and the reason."""
    with pytest.raises(ConfigurationError, match=reason) as refusal:
        read(tmp_path / "other", content)
    assert str(tmp_path / "other") in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_bomb_is_refused_without_filling_the_memory(tmp_path: Path) -> None:
    """A foreign file that would decompress to gigabytes is looked at no further than its first line may be long."""
    path = tmp_path / "bomb.zst"
    compressor = zstd.ZstdCompressor()
    with path.open("wb") as file:
        for _ in range(64):
            file.write(compressor.compress(bytes(16 * 2**20)))
        file.write(compressor.flush())
    with pytest.raises(ConfigurationError, match="not a recording"):
        Recording(path)


@pytest.mark.parametrize("name", ["missing", "directory"])
def test_a_path_that_is_not_a_file_is_refused(tmp_path: Path, name: str) -> None:
    """Neither a missing file nor a directory is opened."""
    (tmp_path / "directory").mkdir()
    with pytest.raises(ConfigurationError):
        Recording(tmp_path / name)


@settings(max_examples=100)
@given(st.binary(max_size=400))
def test_any_bytes_after_the_header_are_survived(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    """Records before damage of any kind are read, and nothing raises."""
    pieces = frames()
    records, _ = read(tmp_path_factory.mktemp("noise") / "day.zst", b"".join(pieces[:2]) + noise)
    assert records[:PER_FRAME] == RECORDS[:PER_FRAME]
