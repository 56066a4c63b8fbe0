"""A small archive of the layout that `polyrank data movielens-100k` reads."""

import hashlib
import zipfile
from pathlib import Path

from model.data.sources.movielens import INSIDE

FILES = {
    "inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949\n1\t9\t5\t88\n",
    "item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    '9\t"Say" it\t1995\tComedy Sci-Fi\n'
    "242\tunkonwn\tV\tunknown\n",
    "user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n1\t24\tM\tother\t01002\n",
    "kg": "head_id:token\trelation_id:token\ttail_id:token\nm.1\tfilm.film.genre\tm.2\n",
    "link": "item_id:token\tentity_id:token\n7\tm.1\n",
}


def archive(folder: Path, files: dict[str, str] = FILES) -> tuple[Path, str]:
    """A wheel of the source's layout, and its sha256."""
    path = folder / "recbole-1.2.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as made:
        for suffix, text in files.items():
            made.writestr(f"{INSIDE}.{suffix}", text)
        made.writestr("recbole-1.2.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: recbole\nVersion: 1.2.1\n")
        made.writestr("recbole-1.2.1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        made.writestr("recbole-1.2.1.dist-info/RECORD", "")
    return path, hashlib.sha256(path.read_bytes()).hexdigest()
