#!/bin/sh
# Print the first Python that is new enough for the book, or say how to get one.
for python in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo "$python"
        exit 0
    fi
done
echo "This book needs Python 3.11 or newer; found none on the PATH." >&2
echo "Install one (https://www.python.org/downloads/), or name it: make book PYTHON=/path/to/python3" >&2
exit 1
