"""The sample data of Practice Zoho's CRM: two organizations with their users and leads.

This module is pure Python without HTTP. All people and companies are fictitious; their email
domains are reserved for examples (RFC 2606) and their telephone numbers for fiction. The ids come
from the seed. The answers have the form that Zoho's CRM API documentation, version 8, describes.
"""

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from .accounts import Answer


@dataclass(frozen=True)
class PracticeUser:
    """A user of Practice Zoho's CRM."""

    email: str
    full_name: str
    organization: str
    """The name of the organization."""
    zgid: str
    """The id of the organization; the SDK names a user ``email:zgid``."""


_USERS = (
    ("anna.berg@example.com", "Anna Berg", "Larkfield Bicycles"),
    ("ben.okafor@example.com", "Ben Okafor", "Larkfield Bicycles"),
    ("carla.mendes@example.org", "Carla Mendes", "Tidewater Instruments"),
)

_LEADS = {
    "Larkfield Bicycles": """\
First_Name,Last_Name,Company,Email,Phone,City,Lead_Source,Lead_Status,No_of_Employees
Siân,Pritchard,Taff Trail Hire,sian@tafftrail.example,029 2018 0114,Cardiff,Trade Show,Contacted,12
Declan,O'Connor,Lagan Couriers,declan@lagan.example,028 9649 6027,Belfast,Web Download,Contacted,45
Priya,Raman,Steel City Spokes,priya@steelspokes.example,0114 496 0310,Sheffield,Chat,Pre-Qualified,8
Tom,Ashworth,Pennine Outdoor,tom@pennine.example,0161 496 0225,Manchester,Partner,Not Contacted,130
Ines,Duarte,Harbour Cargo Bikes,ines@cargobikes.example,0117 496 0071,Bristol,Cold Call,Contacted,6
Kofi,Mensah,Green Wheels Trust,kofi@greenwheels.example,020 7946 0158,London,Trade Show,Contacted,21
Freya,Nilsen,Fjord and Fell,freya@fjord.example,0131 496 0442,Edinburgh,Online Store,Contacted,17
Marek,Nowak,Nowak Cycle Repair,marek@nowakrepair.example,0113 496 0093,Leeds,Partner,Pre-Qualified,3
Grace,Adeyemi,Campus Mobility,grace@campus.example,0115 496 0388,Nottingham,Chat,Contacted,64
Hugh,Galbraith,Clyde Ferries,hugh@clydeferries.example,0141 496 0516,Glasgow,Cold Call,Lost Lead,280
Yuki,Tanaka,Komorebi Touring,yuki@komorebi.example,020 7946 0733,London,Chat,Not Contacted,9
Ravi,Chandra,Spice Route Foods,ravi@spices.example,0116 496 0204,Leicester,Trade Show,Contacted,38
Elin,Vaughan,Gower Surf School,elin@gower.example,01632 960 127,Swansea,Online Store,Contacted,11
Omar,Haddad,Cedar Logistics,omar@cedar.example,0121 496 0611,Birmingham,Partner,Contacted,95
Lucy,Fairbairn,Tyne Valley Trust,lucy@tyne.example,0191 498 0337,Newcastle,Cold Call,Contacted,410
Jonas,Keller,Keller Frames,jonas@keller.example,020 7946 0902,London,Trade Show,Pre-Qualified,5
Amina,Yusuf,Mersey Markets,amina@merseymarkets.example,0151 496 0480,Liverpool,Chat,Not Contacted,27
Peter,Hallam,Hallam and Sons,peter@hallamsons.example,0118 496 0259,Reading,Web Download,Junk Lead,2
Nadia,Petrova,Riverside Hotels,nadia@riverside.example,01632 960 845,York,Partner,Contacted,150
Callum,Reid,Tayside Tours,callum@taysidetours.example,01632 960 316,Dundee,Trade Show,Contacted,14
""",
    "Tidewater Instruments": """\
First_Name,Last_Name,Company,Email,Phone,City,Lead_Source,Lead_Status,No_of_Employees
Helena,Brandt,Baltic Survey,helena@balticsurvey.example,020 7946 0377,London,Trade Show,Contacted,33
Samuel,Ortiz,Ortiz Marine,samuel@ortizmarine.example,029 2018 0661,Cardiff,Partner,Pre-Qualified,19
Mei,Lin,Deepwater Labs,mei@deepwaterlabs.example,0131 496 0788,Edinburgh,Web Download,Contacted,52
Arthur,Penrose,Penrose Harbour,arthur@penroseharbour.example,0117 496 0543,Bristol,Chat,Contacted,7
""",
}
"""The leads of each organization, newest first."""

_FIELDS = (  # API name, label, data type, JSON type, mandatory
    ("Owner", "Lead Owner", "ownerlookup", "jsonobject", False),
    ("First_Name", "First Name", "text", "string", False),
    ("Last_Name", "Last Name", "text", "string", True),
    ("Full_Name", "Full Name", "text", "string", False),
    ("Company", "Company", "text", "string", True),
    ("Email", "Email", "email", "string", False),
    ("Phone", "Phone", "phone", "string", False),
    ("City", "City", "text", "string", False),
    ("Lead_Source", "Lead Source", "picklist", "string", False),
    ("Lead_Status", "Lead Status", "picklist", "string", False),
    ("No_of_Employees", "No. of Employees", "integer", "integer", False),
    ("Created_Time", "Created Time", "datetime", "string", False),
    ("Modified_Time", "Modified Time", "datetime", "string", False),
)

_NEWEST_LEAD_TIME = datetime(2026, 3, 2, 9, 30, tzinfo=timezone.utc)
"""When the newest lead was created: a constant, so that notebooks always show the same."""


def error_response(code: str, message: str, details: Mapping[str, object] | None = None) -> Answer:
    """Return an error response of Zoho's CRM API (page "Status Codes")."""
    return {"code": code, "details": dict(details or {}), "message": message, "status": "error"}


class Crm:
    """The data of Practice Zoho's CRM, and the answers to the API calls that read it.

    :param seed: every id is derived from it.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.users = tuple(
            PracticeUser(*user, zgid=self._digits(f"zgid of {user[2]}", 8)) for user in _USERS
        )
        self._leads = {name: self._leads_of(name) for name in _LEADS}

    def user(self, user: PracticeUser | str) -> PracticeUser:
        """Return a user.

        :param user: the user, or an email address.
        :raises ValueError: if there is no such user; the message lists all users.
        """
        email = user.email if isinstance(user, PracticeUser) else user
        for known in self.users:
            if known.email == email:
                return known
        emails = ", ".join(known.email for known in self.users)
        raise ValueError(f"Practice Zoho has no user {email!r}; its users are {emails}")

    def get_users(self, user: PracticeUser, parameters: Mapping[str, str]) -> Answer:
        """Answer ``GET /users`` (page "Get Users"): the caller, or the whole organization."""
        colleagues = [u for u in self.users if u.zgid == user.zgid]
        found = [user] if parameters.get("type") == "CurrentUser" else colleagues
        info = {"per_page": 200, "count": len(found), "page": 1, "more_records": False}
        return {"users": [self._user_record(each) for each in found], "info": info}

    def get_organization(self, user: PracticeUser) -> Answer:
        """Answer ``GET /org`` (page "Get Organization") for the caller's organization."""
        first = next(u for u in self.users if u.zgid == user.zgid)
        organization = {
            "id": self._id(user.organization, 1),
            "zgid": user.zgid,
            "company_name": user.organization,
            "primary_email": first.email,
            "country_code": "GB",
            "iso_code": "GBP",
            "time_zone": "Europe/London",
        }
        return {"org": [organization]}

    def get_fields(self, user: PracticeUser, parameters: Mapping[str, str]) -> tuple[Answer, int]:
        """Answer ``GET /settings/fields`` (page "Fields Metadata") for the module Leads.

        :returns: the answer and its HTTP status.
        """
        module = parameters.get("module")
        if not module:
            return _parameter_missing("module")
        if module != "Leads":
            return error_response(
                "INVALID_MODULE", "the module name given seems to be invalid"
            ), 400
        return {"fields": [self._field(user, number) for number in range(len(_FIELDS))]}, 200

    def get_leads(
        self, user: PracticeUser, parameters: Mapping[str, str]
    ) -> tuple[Answer | None, int]:
        """Answer ``GET /Leads`` (page "Get Records") with the leads of the caller's organization.

        :param user: the caller.
        :param parameters: ``fields`` (required, separated by commas), ``page`` (from 1) and
            ``per_page`` (1 to 200).
        :returns: the answer and its HTTP status; a page after the last one has no content.
        """
        if not parameters.get("fields"):
            return _parameter_missing("fields")
        page = _number(parameters, "page", default=1, maximum=2000)
        per_page = _number(parameters, "per_page", default=200, maximum=200)
        if page is None or per_page is None:
            name = "page" if page is None else "per_page"
            details = {"expected_data_type": "integer", "param_name": name}
            return error_response("INVALID_DATA", "invalid data", details), 400
        leads = self._leads[user.organization]
        start, end = (page - 1) * per_page, page * per_page
        if start >= len(leads):
            return None, 204
        names = ["id", *(name.strip() for name in parameters["fields"].split(","))]
        data = [{name: lead[name] for name in names if name in lead} for lead in leads[start:end]]
        info = {
            "per_page": per_page,
            "count": len(data),
            "page": page,
            "sort_by": "id",
            "sort_order": "desc",
            "more_records": end < len(leads),
        }
        return {"data": data, "info": info}, 200

    def _user_record(self, user: PracticeUser) -> Answer:
        first_name, last_name = user.full_name.split()
        return {
            "id": self._id(user.organization, 100 + self.users.index(user)),
            "email": user.email,
            "full_name": user.full_name,
            "first_name": first_name,
            "last_name": last_name,
            "status": "active",
            "time_zone": "Europe/London",
        }

    def _leads_of(self, organization: str) -> list[Answer]:
        owners = [u for u in self.users if u.organization == organization]
        rows = list(csv.DictReader(_LEADS[organization].splitlines()))
        leads = []
        for age, row in enumerate(rows):
            owner = self._user_record(owners[age % len(owners)])
            time = (_NEWEST_LEAD_TIME - age * timedelta(hours=26)).isoformat()
            leads.append(
                {
                    "id": self._id(organization, 1000 + len(rows) - age),
                    "Owner": {
                        "id": owner["id"],
                        "name": owner["full_name"],
                        "email": owner["email"],
                    },
                    "Full_Name": f"{row['First_Name']} {row['Last_Name']}",
                    "Created_Time": time,
                    "Modified_Time": time,
                    **row,
                    "No_of_Employees": int(row["No_of_Employees"]),
                }
            )
        return leads

    def _field(self, user: PracticeUser, number: int) -> Answer:
        api_name, label, data_type, json_type, mandatory = _FIELDS[number]
        options: list[str] = []
        if data_type == "picklist":
            leads = [lead for group in self._leads.values() for lead in group]
            options = sorted({lead[api_name] for lead in leads})
        return {
            "id": self._id(user.organization, 500 + number),
            "api_name": api_name,
            "field_label": label,
            "display_label": label,
            "data_type": data_type,
            "json_type": json_type,
            "system_mandatory": mandatory,
            "custom_field": False,
            "pick_list_values": [
                {"display_value": option, "actual_value": option} for option in options
            ],
        }

    def _id(self, organization: str, number: int) -> str:
        # As in Zoho: a prefix for the organization, then an ascending number.
        return self._digits(f"ids of {organization}", 6) + f"{number:012}"

    def _digits(self, of: str, length: int) -> str:
        """Return a decimal number of this length, derived from the seed, without a leading zero."""
        value = int(hashlib.sha256(f"{self._seed}:{of}".encode()).hexdigest(), 16)
        return str(10 ** (length - 1) + value % (9 * 10 ** (length - 1)))


def _parameter_missing(name: str) -> tuple[Answer, int]:
    message = "One of the expected parameter is missing"
    return error_response("REQUIRED_PARAM_MISSING", message, {"param_name": name}), 400


def _number(parameters: Mapping[str, str], name: str, default: int, maximum: int) -> int | None:
    text = parameters.get(name, str(default))
    return int(text) if text.isdecimal() and 1 <= int(text) <= maximum else None
