"""The orders of the simulated accounts: each is placed, routed, then filled or cancelled (protocol 4.10)."""

import datetime as dt
import random
from collections.abc import Iterator
from typing import Any

import orjson

from schwabstream.simulator.faults import Faults
from schwabstream.simulator.market import Market, Quote
from schwabstream.simulator.statics import EASTERN

_SYMBOLS = ("AMD", "AAPL", "F", "NVDA", "SPY")
_ROUTE = "HRT_NMS_EQ_F1_Z1"

Message = tuple[str, str, str]
"""Account number, message type and message data: fields 1 to 3."""


class Orders:
    """Invents one order after another; ``next_messages`` gives what Schwab would send in one frame."""

    def __init__(self, market: Market, faults: Faults, seed: int) -> None:
        self._market, self._faults = market, faults
        self._rng = random.Random(f"{seed}:orders")
        self._number = 1_005_000_000_000
        self._frames = self._lives()

    def next_messages(self) -> list[Message]:
        """The messages of the next step in the life of an order."""
        return next(self._frames)

    def account(self) -> str:
        """The account that the subscription itself is answered for."""
        return self._faults.accounts[0] if self._faults.accounts else ""

    def _lives(self) -> Iterator[list[Message]]:
        while True:
            for symbol in _SYMBOLS:
                quote = self._market.quote(symbol)
                for account in list(self._faults.accounts) or [""]:
                    if quote is not None:
                        yield from self._life(account, quote)

    def _life(self, account: str, quote: Quote) -> Iterator[list[Message]]:
        self._number += self._rng.randint(1, 5_000)
        it = _Order(account, str(self._number), quote, self._market)
        yield [it.created(), it.accepted(), it.requested(1, "New")]
        yield [it.request_created(), it.request_completed(1, "Accepted", "RouteVenueAccepted")]
        if self._rng.random() < 0.5:
            yield [it.filled()]
            return
        yield [it.cancel_accepted()]
        # Schwab sends the numbers of these two states instead of their names (protocol 4.10).
        yield [it.requested(2, "Cancel"), it.request_completed(2, 7, 8), it.cancelled(), it.out()]


def _decimal(value: float) -> dict[str, Any]:
    """A number as Schwab writes it: six decimals without the point; a zero has no digits."""
    digits = round(abs(value) * 1_000_000)
    sign = {"signScale": 13 if value < 0 else 12}
    return {"lo": str(digits), **sign} if digits else sign


class _Order:
    """One limit order for one share."""

    def __init__(self, account: str, number: str, quote: Quote, market: Market) -> None:
        self._account, self._number, self._quote, self._market = account, number, quote, market
        self._limit = quote.values["last_price"]
        self._leg = {"LegId": number}

    def _now(self) -> dict[str, str]:
        now = dt.datetime.fromtimestamp(self._market.now_ms() / 1000, EASTERN)
        return {"DateTimeString": f"{now:%Y-%m-%d %H:%M:%S}.{now.microsecond // 1000:03d}"}

    def _today(self) -> dict[str, str]:
        return {"DateTimeString": f"{self._market.today()}"}

    def _message(self, kind: str, block: str, content: dict[str, Any]) -> Message:
        event = {"EventType": kind, block: {"EventType": kind, **content}}
        data = {"SchwabOrderID": self._number, "AccountNumber": self._account, "BaseEvent": event}
        return self._account, kind, orjson.dumps(data).decode()

    def _quoted(self) -> dict[str, Any]:
        values = self._quote.values
        bid, ask = values["bid_price"], values["ask_price"]
        return {
            "Ask": _decimal(ask),
            "AskSize": {"lo": str(values["ask_size"])},
            "Bid": _decimal(bid),
            "BidSize": {"lo": str(values["bid_size"])},
            "QuoteTimestamp": self._now(),
            "Symbol": self._quote.instrument.key,
            "QuoteTypeCode": "Mark",
            "Mid": _decimal((bid + ask) / 2),
            "SchwabOrderID": self._number,
        }

    def created(self) -> Message:
        """The order as it was entered."""
        owner = {
            "AccountNumber": self._account,
            "AccountBranch": "GR",
            "CustomerOrFirmCode": "CustomerOrFirmCode_Customer",
            "OrderPlacementCustomerID": f"1{self._account}",
            "AccountState": "MI",
            "AccountTypeCode": "Customer",
        }
        inner = {
            "AccountInfo": owner,
            "ClientChannelInfo": {"ClientProductCode": "MO", "EventUserID": "MYXX", "EventUserType": "Client"},
            "LifecycleCreatedTimestamp": self._now(),
            "LifecycleSchwabOrderID": self._number,
            "EntryTimestamp": self._now(),
            "ExpiryTimeStamp": self._today(),
            "AutoConfirm": True,
            "PlanSubmitDate": self._today(),
            "SourceOMS": "ngOMS",
            "FirmID": "CHAS",
            "OrderAccount": "TDAAccount",
            "AssetOrderEquityOrderLeg": self._entered(),
        }
        order = {"SchwabOrderID": self._number, "AccountNumber": self._account, "Order": inner}
        return self._message("OrderCreated", "OrderCreatedEventEquityOrder", {"Order": order})

    def _entered(self) -> dict[str, Any]:
        strategy = {"Type": "ES_Limit", "LimitPrice": _decimal(self._limit), "LimitPriceUnitCode": "Units"}
        return {
            "OrderInstruction": {
                "HandlingInstructionCode": "AutomatedExecutionNoIntervention",
                "ExecutionStrategy": {"Type": "ES_Limit", "LimitExecutionStrategy": strategy},
                "PreferredRoute": {},
                "EquityOrderInstruction": {},
            },
            "CommissionInfo": {
                "EstimatedOrderQuantity": _decimal(1),
                "EstimatedPrincipalAmount": _decimal(-self._limit),
                "EstimatedCommissionAmount": _decimal(0),
            },
            "AssetType": "MajorAssetType_Equity",
            "TimeInForce": "Day",
            "OrderTypeCode": "Limit",
            "OrderLegs": [self._entered_leg()],
            "OrderCapacityCode": "OC_Agency",
            "SettlementType": "SettlementType_Regular",
            "Rule80ACode": 73,
            "SolicitedCode": "Unsolicited",
            "EquityOrder": {"TradingSessionCodeOnOrder": "REG"},
        }

    def _entered_leg(self) -> dict[str, Any]:
        it = self._quote.instrument
        return {
            "LegID": self._number,
            "LegParentSchwabOrderID": self._number,
            "Quantity": _decimal(1),
            "QuantityUnitCodeType": "SharesOrUnits",
            "LeavesQuantity": _decimal(1),
            "BuySellCode": "Buy",
            "Security": {
                "SchwabSecurityID": str(sum(map(ord, it.key)) * 7919),
                "Symbol": it.key,
                "UnderlyingSymbol": it.key,
                "PrimaryExchangeCode": it.exchange_id,
                "MajorAssetType": "MajorAssetType_Equity",
                "PrimaryMarketSymbol": it.key,
                "ShortDescriptionText": it.description[:20],
                "ShortName": it.description[:20],
                "CUSIP": it.cusip,
                "OptionsSecurityInfo": {},
            },
            "QuoteOnOrderAcceptance": self._quoted(),
            "LegClientRequestInfo": {"SecurityId": it.key, "SecurityIdTypeCd": "Symbol"},
            "AccountingRuleCode": "Margin",
            "EstimatedNetAmount": _decimal(-self._limit),
            "EstimatedPrincipalAmnt": _decimal(-self._limit),
            "EquityOrderLeg": {},
        }

    def accepted(self) -> Message:
        """Schwab has taken the order."""
        content = {
            "CreatedTimeStamp": self._now(),
            "ExpiryTimeStamp": self._today(),
            "Status": "Open",
            "TradingSessionCodeOnOrderEntry": "REG",
            "QuoteOnOrderEntry": [self._quoted()],
        }
        return self._message("OrderAccepted", "OrderAcceptedEvent", content)

    def requested(self, number: int, kind: str) -> Message:
        """A request to a venue: ``kind`` is New or Cancel."""
        info = {
            "RouteName": _ROUTE,
            "RouteSequenceNumber": number,
            "RoutedExecutionTimestamp": self._now(),
            "Quote": self._quoted(),
            "RouteRequestedType": kind,
            "RoutedQuantity": _decimal(1),
            "RoutedPrice": _decimal(self._limit),
            "RouteStatus": "RouteCreated",
            "ClientOrderID": f"{self._number}.1",
            "RoutedTime": self._now(),
            "RouteTimeInForce": "Day",
            "RouteAcknowledgmentTimeStamp": {},
        }
        content = {"RouteSequenceNumber": number, "RouteInfo": info, "RouteRequestedBy": "RR_Broker", **self._leg}
        return self._message("ExecutionRequested", "ExecutionRequestedEventRoutedInfo", content)

    def request_created(self) -> Message:
        """The request is on its way."""
        content = {
            **self._leg,
            "RouteName": _ROUTE,
            "RouteRequestType": "New",
            "RouteSequenceNumber": 1,
            "RouteRequestedBy": "RR_Broker",
            "RouteStatus": "RouteFixAcknowledged",
            "SenderCompID": "CHASBL01",
            "RoutedTime": self._now(),
            "ClientOrderID": f"{self._number}.1",
        }
        return self._message("ExecutionRequestCreated", "ExecutionRequestCreatedEvent", content)

    def request_completed(self, number: int, answer: str | int, status: str | int) -> Message:
        """The venue has answered."""
        content = {
            **self._leg,
            "ResponseType": answer,
            "ExecutionTime": self._now(),
            "RouteSequenceNumber": number,
            "RouteStatus": status,
            "RouteAcknowledgmentTimeStamp": self._now(),
            "ClientOrderID": f"{self._number}.1",
        }
        return self._message("ExecutionRequestCompleted", "ExecutionRequestCompletedEvent", content)

    def filled(self) -> Message:
        """The whole order was executed at its limit."""
        identity = f"{self._market.today():%Y%m%d}-EST-ngOMS-{self._number}"
        quantity = {"CumulativeQuantity": _decimal(1), "LeavesQuantity": _decimal(0)}
        content = {
            **self._leg,
            "LegStatus": "LegClosed",
            "QuantityInfo": {"ExecutionID": identity, **quantity, "AveragePrice": _decimal(self._limit)},
            "LegSubStatus": "LegSubStatusFilled",
            "ExecutionInfo": {
                **self._execution("Fill"),
                "ExecutionPrice": _decimal(self._limit),
                "PrincipalAmmount": _decimal(self._limit),
                "ActualChargedCommissionAmount": _decimal(0),
            },
            "OrderInfoForTransactionPosting": {
                "LimitPrice": _decimal(self._limit),
                "OrderTypeCode": "Limit",
                "BuySellCode": "Buy",
                "Quantity": _decimal(1),
                "StopPrice": {},
                "Symbol": self._quote.instrument.key,
                "SolicitedCode": "Unsolicited",
                "AccountingRuleCode": "Cash",
                "SettlementType": "SettlementType_Regular",
            },
        }
        return self._message("OrderFillCompleted", "OrderFillCompletedEventOrderLegQuantityInfo", content)

    def _execution(self, kind: str) -> dict[str, Any]:
        return {
            "ExecutionSequenceNumber": 1,
            "ExecutionId": f"{self._market.today():%Y%m%d}-EST-ngOMS-{self._number}",
            "ExecutionQuantity": _decimal(1),
            "ExecutionTimeStamp": self._now(),
            "ExecutionTransType": kind,
            "ExecutionCapacityCode": "Agency",
            "RouteName": _ROUTE,
            "RouteSequenceNumber": 1,
            "VenuExecutionTimeStamp": self._now(),
            "ReportingCapacityCode": "RC_Agency",
            "AsOfTimeStamp": {},
            "ClientOrderID": f"{self._number}.1",
        }

    def cancel_accepted(self) -> Message:
        """Schwab has taken the client's request to cancel."""
        leg = {
            "LegID": self._number,
            "IntendedOrderQuantity": _decimal(1),
            "RequestedAmount": _decimal(1),
            "LegStatus": "LegOpen",
            "LegSubStatus": "LegSubStatusCancelled",
            "CancelAcceptedTime": self._now(),
            "EventUserID": "MYXX",
        }
        content = {
            "LifecycleSchwabOrderID": self._number,
            "PlanSubmitDate": self._today(),
            "ClientProductCode": "MO",
            "AutoConfirm": True,
            "CancelTimeStamp": self._now(),
            "LegCancelRequestInfoList": [leg],
            "CancelRequestType": "ClientCancel",
        }
        return self._message("CancelAccepted", "CancelAcceptedEvent", content)

    def cancelled(self) -> Message:
        """The venue has cancelled the order."""
        content = {
            **self._leg,
            "ExecutionInfo": {**self._execution("UROut"), "CancelType": "ClientCancel"},
            "AsOfTimeStamp": self._now(),
            "RouteSequenceNumber": 1,
        }
        return self._message("ExecutionCreated", "ExecutionCreatedEventExecutionInfo", content)

    def out(self) -> Message:
        """The order has left the books."""
        content = {"ExecutionTimeStamp": self._now(), "OutCancelType": "ClientCancel", "ValidationDetail": []}
        return self._message("OrderUROutCompleted", "OrderUROutCompletedEvent", content)
