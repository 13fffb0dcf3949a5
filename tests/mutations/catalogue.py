"""All mutations: for each guard of the promise, the code without it."""

from .guards_in_python import GUARDS_IN_PYTHON
from .guards_of_bulk import GUARDS_OF_BULK
from .guards_of_claims import GUARDS_OF_CLAIMS
from .guards_of_ends import GUARDS_OF_ENDS
from .guards_of_fairness import GUARDS_OF_FAIRNESS
from .guards_of_gates import GUARDS_OF_GATES
from .guards_of_limits import GUARDS_OF_LIMITS
from .guards_of_locks import GUARDS_OF_LOCKS
from .guards_of_parents import GUARDS_OF_PARENTS
from .guards_of_places import GUARDS_OF_PLACES
from .guards_of_queues import GUARDS_OF_QUEUES
from .guards_of_repair import GUARDS_OF_REPAIR
from .guards_of_schedules import GUARDS_OF_SCHEDULES
from .guards_of_simulation import GUARDS_OF_SIMULATION
from .guards_of_states import GUARDS_OF_STATES
from .guards_of_uniqueness import GUARDS_OF_UNIQUENESS

MUTATIONS = (
    *GUARDS_OF_CLAIMS,
    *GUARDS_OF_GATES,
    *GUARDS_OF_QUEUES,
    *GUARDS_OF_FAIRNESS,
    *GUARDS_OF_STATES,
    *GUARDS_OF_PLACES,
    *GUARDS_OF_REPAIR,
    *GUARDS_OF_LOCKS,
    *GUARDS_OF_PARENTS,
    *GUARDS_OF_LIMITS,
    *GUARDS_OF_UNIQUENESS,
    *GUARDS_OF_SCHEDULES,
    *GUARDS_OF_ENDS,
    *GUARDS_OF_SIMULATION,
    *GUARDS_OF_BULK,
    *GUARDS_IN_PYTHON,
)
