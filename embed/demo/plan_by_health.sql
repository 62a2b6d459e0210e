-- Person-years by insurance plan and self-rated health. One cell is under ten:
-- a checker should send this back.
SELECT
  CAST(ROUND(EXP(lncoins) - 1) AS INTEGER) AS coinsurance_percent,
  CASE idp WHEN 1 THEN 'yes' ELSE 'no' END AS individual_deductible,
  CASE
    WHEN hlthp = 1 THEN 'poor'
    WHEN hlthf = 1 THEN 'fair'
    WHEN hlthg = 1 THEN 'good'
    ELSE 'excellent'
  END AS self_rated_health,
  COUNT(*) AS person_years,
  ROUND(AVG(mdvis), 2) AS mean_visits
FROM randhie
GROUP BY coinsurance_percent, individual_deductible, self_rated_health
ORDER BY coinsurance_percent, individual_deductible, self_rated_health;
