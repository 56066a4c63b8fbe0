"""A file is one idea, a function body a few lines."""

import statistics

from tests.architecture import tree

FILE_CAP, BODY_CAP = 400, 50
LONG_FILE, LONG_BODY, USUAL_BODY = 150, 25, 6


def _bodies(*rooms: str) -> dict[str, int]:
    return {
        f"{file}:{function.lineno} {function.name}": tree.body_lines(function)
        for file in tree.sources(*rooms)
        for function in tree.functions(file)
    }


def test_no_file_is_longer_than_the_cap() -> None:
    long = {str(file): lines for file in tree.sources() if (lines := len(tree.text(file).splitlines())) > FILE_CAP}
    assert not long


def test_no_function_body_is_longer_than_the_cap() -> None:
    assert not {name: lines for name, lines in _bodies().items() if lines > BODY_CAP}


def test_half_of_the_bodies_are_short_and_nine_in_ten_not_long() -> None:
    lines = sorted(_bodies(*tree.PRODUCT).values())
    median, ninth = statistics.median(lines), statistics.quantiles(lines, n=10)[-1]
    assert median <= USUAL_BODY, f"half of {len(lines)} bodies have more than {median} lines"
    assert ninth <= LONG_BODY, f"one in ten of {len(lines)} bodies has more than {ninth} lines"


def test_files_over_150_lines_are_rare() -> None:
    product = tree.sources(*tree.PRODUCT)
    long = {str(file): lines for file in product if (lines := len(tree.text(file).splitlines())) > LONG_FILE}
    assert len(long) <= len(product) / 4, long
