-- Which entity alarmed first, and by which channels?
select source, place, entity_id, at, score, threshold, channels
from first_alarms where place <= 2 order by source, place;

-- What drove the alerts?
select source, entity_id, at, sensor, share
from top_sensors where method = 'reconstruction' and rank = 1 order by share desc limit 5;

-- What did each service cost, by day?
select day, account, service, billed_cost, currency
from cost_by_service order by billed_cost desc limit 5;

-- Which principals behaved most strangely?
select principal, max_score, windows, anomalous, events from audit_by_principal limit 5;

-- Is anything missing?
select * from accounting;
