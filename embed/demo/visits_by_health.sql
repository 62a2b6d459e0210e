-- Mean outpatient visits by self-rated health. Every group is far above ten.
SELECT
  CASE
    WHEN hlthp = 1 THEN 'poor'
    WHEN hlthf = 1 THEN 'fair'
    WHEN hlthg = 1 THEN 'good'
    ELSE 'excellent'
  END AS self_rated_health,
  COUNT(*) AS person_years,
  ROUND(AVG(mdvis), 2) AS mean_visits,
  ROUND(100.0 * AVG(mdvis = 0), 1) AS percent_without_visit
FROM randhie
GROUP BY self_rated_health
HAVING COUNT(*) >= 10
ORDER BY mean_visits;
