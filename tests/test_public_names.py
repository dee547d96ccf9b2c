"""Public names and signatures change on purpose only."""

from public_names import SNAPSHOT, lines


def test_the_public_names_are_those_of_the_snapshot():
    expected = SNAPSHOT.read_text(encoding="utf-8").splitlines()
    found = lines()
    gone = [line for line in expected if line not in found]
    new = [line for line in found if line not in expected]
    message = "public names changed; if that is meant, run `make names` and note it in CHANGELOG.md"
    assert (gone, new) == ([], []), message
    assert found == expected, message
