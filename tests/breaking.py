"""A contender that breaks down after some turns."""


class Broken(Exception):
    pass


def breaking(after):
    """A function that raises at its call number `after`, from 0."""
    calls = iter(range(after))

    def train():
        if next(calls, None) is None:
            raise Broken("broke down")

    return train
