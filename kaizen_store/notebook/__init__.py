"""What the lessons use: forms, the token table, the trace, pictures, and graders of exercises."""

from .exercises import (
    TODO,
    grade_choice,
    grade_everybody,
    grade_found,
    grade_lasting_token,
    grade_logged_out,
    grade_one_refresh,
    grade_own_store,
    grade_project,
    grade_saved_once,
    grade_two_users,
    progress,
)
from .explanations import explain
from .forms.check import CheckForm
from .forms.choose import ChooseForm
from .forms.delete import DeleteForm
from .forms.find import FindForm
from .forms.initialize import InitializeForm
from .forms.project import ProjectForm
from .forms.refresh import RefreshForm
from .forms.save import SaveForm
from .forms.switch import SwitchForm
from .forms.token_code import practice_token
from .health import health_check
from .lookup_times import time_to_find
from .pictures import RefreshBudget, TokenTimeline
from .real_zoho import RealZoho
from .stampede import Stampede
from .table import fingerprint, token_table
from .tracing import Diagram, Step, Trace, trace

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
    "Stampede",
    "Step",
    "SwitchForm",
    "TokenTimeline",
    "Trace",
    "explain",
    "fingerprint",
    "grade_choice",
    "grade_everybody",
    "grade_found",
    "grade_lasting_token",
    "grade_logged_out",
    "grade_one_refresh",
    "grade_own_store",
    "grade_project",
    "grade_saved_once",
    "grade_two_users",
    "health_check",
    "practice_token",
    "progress",
    "time_to_find",
    "token_table",
    "trace",
]
