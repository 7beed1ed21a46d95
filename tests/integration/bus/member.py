"""Member: one FaustConsumer in a process of its own, as the stages run it; what its handler does goes into a file.

``python -m tests.integration.bus.member FILE KAFKA PREFIX TOPIC INSTANCE VALUE-TO-HOLD``
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TextIO

from adapters.bus.faust import FaustConsumer
from contracts.ports import Record


async def main(arguments: list[str], out: TextIO) -> None:
    """Take records until SIGTERM."""
    kafka, prefix, topic, instance, hold = arguments

    async def handle(record: Record) -> None:
        value = (record.value or b"").decode("utf-8", "replace")
        out.write(f"begun {value}\n")
        try:
            if hold and value == hold:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            out.write(f"cancelled {value}\n")
            raise
        out.write(f"done {value}\n")

    consumer = FaustConsumer(
        kafka, group="heimdex-member", topics=[topic], handler=handle, instance=instance, prefix=prefix
    )
    running = asyncio.create_task(consumer.run())
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await consumer.stop()
    await running


if __name__ == "__main__":
    with Path(sys.argv[1]).open("a", encoding="utf-8", buffering=1) as file:
        asyncio.run(main(sys.argv[2:], file))
