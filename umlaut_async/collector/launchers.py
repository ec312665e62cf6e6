"""The environment variables by which launchers place a process in a job, and that by which its processes share a run.

No other variable is ever stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Whole names and no patterns: SLURM_JWT, for one, is a secret.
_SLURM = (
    "SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_COUNT SLURM_ARRAY_TASK_ID SLURM_CLUSTER_NAME SLURM_CPUS_ON_NODE "
    "SLURM_CPUS_PER_TASK SLURM_GPUS SLURM_GPUS_ON_NODE SLURM_GPUS_PER_NODE SLURM_GPUS_PER_TASK SLURM_JOB_CPUS_PER_NODE "
    "SLURM_JOB_GPUS SLURM_JOB_ID SLURM_JOB_NAME SLURM_JOB_NODELIST SLURM_JOB_NUM_NODES SLURM_JOB_PARTITION "
    "SLURM_JOB_QOS SLURM_LOCALID SLURM_MEM_PER_CPU SLURM_MEM_PER_GPU SLURM_MEM_PER_NODE SLURM_NNODES SLURM_NODEID "
    "SLURM_NODELIST SLURM_NPROCS SLURM_NTASKS SLURM_NTASKS_PER_NODE SLURM_PROCID SLURM_RESTART_COUNT SLURM_STEP_ID "
    "SLURM_STEP_NODELIST SLURM_STEP_NUM_NODES SLURM_STEP_NUM_TASKS SLURM_TASKS_PER_NODE SLURMD_NODENAME"
)
_TORCHRUN = (
    "GROUP_RANK GROUP_WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE MASTER_ADDR MASTER_PORT RANK ROLE_NAME ROLE_RANK "
    "ROLE_WORLD_SIZE TORCHELASTIC_MAX_RESTARTS TORCHELASTIC_RESTART_COUNT TORCHELASTIC_RUN_ID WORLD_SIZE"
)
_MPI = (
    "MPI_LOCALNRANKS MPI_LOCALRANKID OMPI_COMM_WORLD_LOCAL_RANK OMPI_COMM_WORLD_LOCAL_SIZE OMPI_COMM_WORLD_NODE_RANK "
    "OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_SIZE OMPI_UNIVERSE_SIZE PMIX_RANK PMI_LOCAL_RANK PMI_LOCAL_SIZE PMI_RANK "
    "PMI_SIZE PMI_UNIVERSE_SIZE"
)

STORED = frozenset(f"{_SLURM} {_TORCHRUN} {_MPI}".split())
"""The names of the variables that are stored."""

_RANKS = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK")
_SHARED_RUN = "UMLAUT_RUN"


def rank(environ: Mapping[str, str]) -> int | None:
    """Return the place of this process among all those of its job; None where no launcher has given it one.

    Args:
        environ: The environment.
    """
    for name in _RANKS:
        given = environ.get(name, "")
        if given.isascii() and given.isdigit() and len(given) < 10:
            return int(given)
    return None


def shared_run(environ: Mapping[str, str]) -> str | None:
    """Return the identity of the run that all processes of a job write together; None where each writes its own.

    Args:
        environ: The environment.
    """
    return environ.get(_SHARED_RUN) or None


def launcher_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return those variables of an environment that SLURM, torchrun and MPI set to tell a process its place.

    Args:
        environ: The environment.
    """
    return {name: environ[name] for name in sorted(STORED) if name in environ}
