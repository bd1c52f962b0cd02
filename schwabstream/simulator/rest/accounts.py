"""The user's preferences and account numbers (protocol 2.1)."""

import hashlib
from typing import Any

from schwabstream.simulator.faults import Faults


def user_preference(faults: Faults, streamer_info: dict[str, str]) -> dict[str, Any]:
    """Accounts, the streamer's address and ids, entitlements."""
    offer: dict[str, Any] = {"level2Permissions": faults.level2_permission}
    if faults.market_data_permission is not None:
        offer["mktDataPermission"] = faults.market_data_permission
    accounts = [
        {
            "accountNumber": number,
            "primaryAccount": place == 0,
            "type": "BROKERAGE",
            "nickName": "Simulated",
            "displayAcctId": f"...{number[-3:]}",
            "autoPositionEffect": True,
            "accountColor": "Green",
        }
        for place, number in enumerate(faults.accounts)
    ]
    return {"accounts": accounts, "streamerInfo": [streamer_info], "offers": [offer]}


def account_numbers(faults: Faults) -> list[dict[str, str]]:
    """Every account number, and the hash that stands for it in other calls."""
    return [
        {"accountNumber": number, "hashValue": hashlib.sha256(f"simulated {number}".encode()).hexdigest().upper()}
        for number in faults.accounts
    ]
