"""What the lessons show: forms, the token table, the trace with its picture, exercise checks."""

from .check_form import CheckForm
from .checks import (
    TODO,
    check_choice,
    check_everybody,
    check_found,
    check_lasting_token,
    check_logged_out,
    check_one_refresh,
    check_own_store,
    check_project,
    check_saved_once,
    check_two_users,
    health_check,
    progress,
)
from .choose import ChooseForm, time_to_find
from .delete import DeleteForm
from .explain import explain
from .forms import FindForm, InitializeForm, RefreshForm, SaveForm, practice_token
from .pictures import RefreshBudget, TokenTimeline
from .project import ProjectForm
from .real import RealZoho
from .switch import SwitchForm
from .table import fingerprint, token_table
from .trace import Diagram, Step, Trace, trace

__all__ = [
    "TODO",
    "CheckForm",
    "ChooseForm",
    "DeleteForm",
    "Diagram",
    "FindForm",
    "InitializeForm",
    "ProjectForm",
    "RealZoho",
    "RefreshBudget",
    "RefreshForm",
    "SaveForm",
    "Step",
    "SwitchForm",
    "TokenTimeline",
    "Trace",
    "check_choice",
    "check_everybody",
    "check_found",
    "check_lasting_token",
    "check_logged_out",
    "check_one_refresh",
    "check_own_store",
    "check_project",
    "check_saved_once",
    "check_two_users",
    "explain",
    "fingerprint",
    "health_check",
    "practice_token",
    "progress",
    "time_to_find",
    "token_table",
    "trace",
]
