-- Which entity alarmed first, and by which channels?
select * from first_alarms limit 5;

-- What drove the alerts?
select * from top_sensors limit 5;

-- What did each service cost, by day?
select * from cost_by_service order by day desc, service limit 5;

-- Which principals behaved most strangely?
select * from audit_by_principal limit 5;

-- Is anything missing?
select * from accounting;
