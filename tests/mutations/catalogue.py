"""All mutations: for each guard of the promise, the code without it."""

from .guards_in_lua import GUARDS_IN_LUA
from .guards_in_python import GUARDS_IN_PYTHON

MUTATIONS = (*GUARDS_IN_LUA, *GUARDS_IN_PYTHON)
