"""`weir compact`: what a server does by itself, at once and while none runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from gateway.cli.exits import Exit, exit_codes, leave, say
from gateway.cli.explain import size_text
from gateway.cli.options import ConfigFile, DataDir, Set
from gateway.cli.progress import Bar
from gateway.cli.server import load_settings, pairs

if TYPE_CHECKING:
    from storage import Compacted


def compact(config: ConfigFile = None, data_dir: DataDir = None, set_: Set = None) -> None:
    """Join the blocks of each day into few large ones, while no server runs.

    A server does this by itself, when a day is over or has many blocks. What is in the log becomes blocks first.
    What retention or a delete has to take out goes too.

    Examples:
    ```
    weir compact --data-dir /var/lib/weir
    weir compact --data-dir /var/lib/weir --set compaction.level=9
    ```
    """
    overrides = pairs(set_)
    if data_dir is not None:
        overrides.append(("data_dir", str(data_dir)))
    settings = load_settings(config, overrides, None).settings
    if not settings.data_dir.is_dir():
        leave(Exit.USAGE, f"there is no data directory {settings.data_dir}")
    from gateway.store_options import store_options  # noqa: PLC0415 - numba and pyarrow come with storage
    from storage import open_store  # noqa: PLC0415 - as above
    from storage.copying import Progress  # noqa: PLC0415 - as above
    from storage.errors import StorageError  # noqa: PLC0415 - as above

    options = store_options(settings)
    options = replace(options, compaction=replace(options.compaction, enabled=False))  # not by itself beside us
    done = before = after = 0
    with exit_codes(), Bar("compacted") as bar:
        try:
            store = open_store(settings.data_dir, options)
            try:
                store.flush()
                before = after = store.figures().block_disk_bytes

                def tell(step: Compacted) -> None:
                    nonlocal done
                    done += step.job.size
                    left = sum(job.size for job in store.to_compact())
                    name = step.job.sources[0].path.parent
                    bar.show(Progress(str(name.relative_to(settings.data_dir)), done, done + left))

                problems = store.compact(tell)
                figures = store.figures()
                after = figures.block_disk_bytes
            finally:
                store.close()
        except StorageError as error:
            leave(Exit.REFUSED, str(error))
        except OSError as error:
            leave(Exit.REFUSED, f"compaction failed: {error.strerror or error}")
    counted = figures.counters.compaction
    typer.echo(
        f"{counted.blocks_read} blocks became {counted.blocks_written}: {size_text(before)} of blocks are "
        f"{size_text(after)} now"
    )
    for problem in problems:
        say(problem)
    if problems:
        leave(Exit.REFUSED, f"blocks that cannot be compacted stay as they are: {len(problems)}")
