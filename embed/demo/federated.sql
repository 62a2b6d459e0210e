-- Group sizes and sums by self-rated health: what adds up over several nodes.
SELECT
  CASE
    WHEN hlthp = 1 THEN 'poor'
    WHEN hlthf = 1 THEN 'fair'
    WHEN hlthg = 1 THEN 'good'
    ELSE 'excellent'
  END AS self_rated_health,
  COUNT(*) AS person_years,
  SUM(mdvis) AS visits
FROM randhie
GROUP BY self_rated_health
HAVING COUNT(*) >= 10
ORDER BY self_rated_health;
