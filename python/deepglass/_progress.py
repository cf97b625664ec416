"""Progress of long calculations: ``progress=False | True | callable(done, total)``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Progress", "Report", "reporting"]

Report = Callable[[int, int], object]
Progress = bool | Report


def _nothing(done: int, total: int) -> None:
    pass


@contextmanager
def reporting(progress: Progress, description: str = "") -> Iterator[Report]:
    """Give the function to call with (done, total) while a calculation goes on.

    Parameters
    ----------
    progress : bool or callable
        False: silent.  True: a tqdm bar on standard error.  A callable is called as it is; what it
        raises ends the calculation.
    description : str
        Text before the bar.

    Yields
    ------
    callable(done, total)
        `done` is the number of finished steps, not an increment.

    Examples
    --------
    >>> with reporting(lambda done, total: print(done, "of", total)) as report:
    ...     report(1, 2)
    1 of 2
    """
    if callable(progress):
        yield progress
    elif progress is False:
        yield _nothing
    elif progress is True:
        try:
            from tqdm.auto import tqdm
        except ModuleNotFoundError as error:
            message = "progress=True needs tqdm, in the extra 'plot': pip install 'deepglass[plot]'"
            raise ModuleNotFoundError(message, name="tqdm") from error
        with tqdm(desc=description or None) as bar:

            def report(done: int, total: int) -> None:
                if bar.total != total:
                    bar.reset(total)
                bar.update(done - bar.n)

            yield report
    else:
        raise TypeError(f"progress must be False, True or a callable(done, total), got {progress!r}")
