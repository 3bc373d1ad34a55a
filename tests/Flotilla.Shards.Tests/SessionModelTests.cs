using Flotilla.Raft;
using Flotilla.Shards.Tests.Harness;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests;

/// <summary>Random histories of sessions against the plainest model of the rules in docs/sessions.md.</summary>
public sealed class SessionModelTests
{
    private const int Keys = 5;

    [Fact]
    [Trait("Hazard", "34")]
    [Trait("Hazard", "35")]
    public void Every_answer_is_the_one_that_the_rules_give_and_no_sequence_is_executed_twice()
    {
        for (var seed = 1UL; seed <= 40; seed++)
        {
            Run(new SplitMix64(seed));
        }
    }

    private static void Run(SplitMix64 random)
    {
        var terms = new SessionTerms(IdleMs: 60, Window: 6, MaxSessions: 5, MaxResults: 14);
        var log = new LogOf();
        var sessions = new SortedDictionary<SessionId, Model>();
        var counters = new long[Keys];
        List<SessionId> ids = [new(new LogIndex(12345), 0)];
        var nowMs = 1000L;
        for (var step = 0; step < 800; step++)
        {
            nowMs += random.Chance(0.02) ? 100 : random.Below(8);
            foreach (var id in sessions.Where(s => s.Value.LastUsedMs + terms.IdleMs <= nowMs).Select(s => s.Key).ToArray())
            {
                sessions.Remove(id);
            }

            var session = random.Chance(0.9) ? ids[Math.Max(0, ids.Count - 1 - (int)random.Below(6))] : ids[(int)random.Below(ids.Count)];
            if (random.Chance(0.1))
            {
                var opened = log.One(nowMs, Opening(terms));
                Assert.Equal(sessions.Count < terms.MaxSessions ? ResultCode.Ok : ResultCode.Overloaded, opened.Code);
                if (opened.Code == ResultCode.Ok)
                {
                    ids.Add(SessionId.Of(in opened));
                    sessions.Add(ids[^1], new Model { LastUsedMs = nowMs });
                }
            }
            else if (random.Chance(0.02))
            {
                Assert.Equal(sessions.Remove(session) ? ResultCode.Ok : ResultCode.SessionExpired, log.One(nowMs, Command.CloseSession(session)).Code);
            }
            else
            {
                var known = sessions.GetValueOrDefault(session);
                var sequence = (known?.Mark ?? 0) + (ulong)random.Below(9) - (known?.Mark > 2 && random.Chance(0.2) ? 2UL : 0);
                var mark = sequence - Math.Min(sequence, (ulong)random.Below(8));
                var key = (int)(sequence % Keys);
                var answer = log.One(nowMs, Command.Increment(B($"n{key}"), 1).In(session, sequence, mark));
                var expected = Expected(known, sequence, mark, nowMs, terms, sessions, ref counters[key]);
                Assert.Equal(expected, answer.Code == ResultCode.Ok ? Text(answer.Value) : answer.Code.ToString());
            }

            Assert.Equal(sessions.Count, log.Machine.SessionCount);
            Assert.Equal(sessions.Values.Sum(s => s.Results.Count), log.Machine.RecordedResultCount);
        }

        for (var key = 0; key < Keys; key++)
        {
            Assert.Equal(counters[key] == 0 ? "NotFound" : $"{counters[key]}", log.Get($"n{key}"));
        }
    }

    private static string Expected(Model? session, ulong sequence, ulong mark, long nowMs, SessionTerms terms, SortedDictionary<SessionId, Model> all, ref long counter)
    {
        if (session is null)
        {
            return nameof(ResultCode.SessionExpired);
        }

        session.LastUsedMs = nowMs;
        session.Mark = Math.Max(session.Mark, mark);
        foreach (var old in session.Results.Keys.Where(s => s < session.Mark).ToArray())
        {
            session.Results.Remove(old);
        }

        if (sequence < session.Mark)
        {
            return nameof(ResultCode.SessionExpired);
        }

        if (session.Results.TryGetValue(sequence, out var recorded))
        {
            return recorded;
        }

        if (sequence >= session.Mark + (ulong)terms.Window || all.Values.Sum(s => s.Results.Count) >= terms.MaxResults)
        {
            return nameof(ResultCode.Overloaded);
        }

        return session.Results[sequence] = $"{++counter}";
    }

    private sealed class Model
    {
        public long LastUsedMs { get; set; }

        public ulong Mark { get; set; }

        public Dictionary<ulong, string> Results { get; } = [];
    }
}
