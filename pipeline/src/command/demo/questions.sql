-- Which entity alarmed first, and by which channels?
select source, place, entity_id, at, score, threshold, channels
from first_alarms where place <= 2 order by source, place;

-- What drove the alerts?
select source, entity_id, at, sensor, share
from top_sensors where method = 'reconstruction' and rank = 1 order by share desc limit 5;

-- What did each service cost, by day?
select day, account, service, billed_cost, currency
from cost_by_service order by billed_cost desc limit 5;

-- Which days came too expensive, and whose charges made them so?
select a.day, a.entity_id, a.state, round(a.expected, 2) as expected, a.actual, c.name as because_of,
       round(c.deviation, 2) as more
from cost_anomalies a
join cost_causes c on c.anomaly_id = a.anomaly_id and c.dimension = 'service' and c.rank = 1
where a.above_impact order by abs(a.deviation) desc limit 5;

-- What will each account have spent by the month's end, as of the last forecast?
select entity_id, month, known_to, spent, round(end_p10, 2) as end_p10, round(end_p50, 2) as end_p50,
       round(end_p90, 2) as end_p90, state, breach_on
from cost_budgets where known_to = (select max(known_to) from cost_budgets) order by entity_id limit 5;

-- Which principals behaved most strangely?
select principal, max_score, windows, anomalous, events from audit_by_principal limit 5;

-- Is anything missing?
select * from accounting;
