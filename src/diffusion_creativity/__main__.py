"""The command line: ``python -m diffusion_creativity list | run | collect | show``."""

import argparse
import sys
from collections.abc import Sequence

from . import experiments
from .experiments import launch
from .experiments.registry import PROFILES


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        if answer := options.action(options):
            print(answer)
    except KeyboardInterrupt:
        print(
            "stopped: finished units are kept, --resume goes on from there; "
            "collect writes a result of what is finished",
            file=sys.stderr,
        )
        return 130
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m diffusion_creativity", description=__doc__)
    commands = parser.add_subparsers(
        required=True, metavar="list | run NAME | collect NAME | show NAME"
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--out", metavar="FOLDER", help="in place of results/ of the checkout, or of ./results"
    )
    sizes = argparse.ArgumentParser(add_help=False)
    sizes.add_argument("name", metavar="NAME")
    sizes.add_argument("--profile", choices=PROFILES, help="by default the experiment's full one")
    seeds = argparse.ArgumentParser(add_help=False)
    seeds.add_argument("--seeds", type=int, metavar="N", help="seeds 0 … N - 1")

    lists = commands.add_parser("list", parents=[shared], help="what there is, and which results")
    lists.set_defaults(action=lambda options: experiments.listing(options.out))

    run = commands.add_parser(
        "run", parents=[sizes, seeds, shared], help="compute and write a result"
    )
    run.add_argument("--resume", action="store_true", help="skip the units finished earlier")
    run.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes that share the units"
    )
    run.add_argument("--device", help='such as "cpu" or "cuda"; by default a GPU if there is one')
    run.set_defaults(action=_run)

    collect = commands.add_parser(
        "collect", parents=[sizes, seeds, shared], help="write a result of what is finished so far"
    )
    collect.set_defaults(action=_collect)

    show = commands.add_parser("show", parents=[sizes, shared], help="print a result as a table")
    show.set_defaults(action=_show)
    return parser


def _run(options: argparse.Namespace) -> str:
    place = launch.leave_group()
    first, several = place.rank == 0, place.processes > 1
    if first and several:
        print(f"{place.processes} processes share the units; those finished earlier are kept")
    result = experiments.run(
        options.name,
        options.profile,
        seeds=options.seeds,
        resume=options.resume or several,  # a process cannot tell what is older than the others
        workers=options.workers,
        out=options.out,
        device=options.device or place.device,
        rank=place.rank,
    )
    return experiments.text(result) if first else ""


def _collect(options: argparse.Namespace) -> str:
    result = experiments.collect(
        options.name, options.profile, seeds=options.seeds, out=options.out
    )
    return experiments.text(result)


def _show(options: argparse.Namespace) -> str:
    return experiments.text(experiments.load(options.name, options.profile, options.out))


if __name__ == "__main__":
    sys.exit(main())
