"""What the tasks do, the same for all queues whose tasks are coroutines."""

import asyncio

import work


async def noop():
    return work.noop()


async def nap():
    await asyncio.sleep(0.001)
    return 1


async def spin():
    return work.spin()


async def stamp(sent):
    return work.stamp(sent)


async def mark(number):
    await asyncio.sleep(0.02)
    work.marks().rpush(work.MARKS, number)
    return 1


TASKS = (noop, nap, spin, stamp, mark)
AT_ONCE = 50


async def by_fifties(send, count):
    """For a queue without a way to send many: that many calls at a time, each over a connection of its own."""
    for begun in range(0, count, AT_ONCE):
        await asyncio.gather(*(send() for _ in range(min(AT_ONCE, count - begun))))
