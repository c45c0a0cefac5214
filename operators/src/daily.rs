//! Charges to daily costs: exact totals and the day's vector by service.
