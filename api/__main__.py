"""``python -m api``."""

from garbage_collection import load

if __name__ == "__main__":
    load("api.server").main()
