using Flotilla.Raft;
using Flotilla.Shards.ExactlyOnce;
using Flotilla.Shards.Tests.Harness;
using Flotilla.Topology;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests;

/// <summary>The table of idempotency keys against a model that is plainly right, and what it costs.</summary>
public sealed class IdempotencyTableTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [Trait("Hazard", "34")]
    public void Whatever_lives_and_leaps_of_time_a_key_answers_while_it_lives_and_not_after(ulong seed)
    {
        var random = new SplitMix64(seed);
        var table = new IdempotencyTable();
        var model = new Dictionary<(int Slot, int Key), (int Command, CommandResult Result, long DueMs)>();
        var now = 1_700_000_000_000;
        var answered = 0;
        for (var i = 0; i < 60_000; i++)
        {
            now += random.Chance(0.0005) ? random.Below(10_000_000) : random.Below(10);
            table.RemoveExpired(now, 1);
            var (slot, key, number) = ((int)random.Below(3), (int)random.Below(1000), (int)random.Below(3));
            var once = new Once.ByKey(B($"key {key}"), new KeyTerms(1L << (int)random.Below(23), 1L << 40));
            var command = Command.Put(B("k"), B($"{number}"));
            var lives = model.TryGetValue((slot, key), out var known) && known.DueMs > now;
            Assert.Equal(!lives, table.Admits(once, in command, new Slot((ushort)slot), now, out var identity, out var answer));
            if (lives)
            {
                Assert.Equal(number == known.Command ? known.Result : CommandResult.Of(ResultCode.KeyReused), answer with { Value = default });
                answered++;
                continue;
            }

            var result = random.Below(4) switch
            {
                0 => CommandResult.Of(ResultCode.NotFound),
                1 => new CommandResult(ResultCode.VersionMismatch, new Data.Version((uint)random.Next(), (uint)random.Next(), random.Next(), random.Next()), default),
                _ => new CommandResult(ResultCode.Ok, new Data.Version(7, 0, (ulong)i, 3), default),
            };
            table.Record(once, identity, new Slot((ushort)slot), in result, now);
            model[(slot, key)] = (number, result, now + once.Terms.LifeMs);
        }

        Assert.True(answered > 5000, $"{answered} were answered.");
        for (; table.Count > 0; now += 1 << 24)
        {
            table.RemoveExpired(now, 0);
        }
    }

    [Fact]
    public void Answers_with_numbers_come_back_as_they_were()
    {
        var table = new IdempotencyTable();
        long[] numbers = [0, 1, -1, long.MaxValue, long.MinValue, .. Enumerable.Range(0, 3000)];
        for (var i = 0; i < numbers.Length; i++)
        {
            var once = new Once.ByKey(B($"{i}"), KeyTerms.Default);
            Assert.True(table.Admits(once, Command.Delete(B("k")), default, 5, out var identity, out _));
            table.Record(once, identity, default, new CommandResult(ResultCode.Ok, new Data.Version(1, 0, 2, 3), B($"{numbers[i]}")), 5);
        }

        for (var i = 0; i < numbers.Length; i++)
        {
            Assert.False(table.Admits(new Once.ByKey(B($"{i}"), KeyTerms.Default), Command.Delete(B("k")), default, 6, out _, out var answer));
            Assert.Equal((ResultCode.Ok, new Data.Version(1, 0, 2, 3), $"{numbers[i]}"), (answer.Code, answer.Version, Text(answer.Value)));
        }
    }

    [Fact]
    public void Lanes_hold_lives_that_differ_by_an_eighth_at_most()
    {
        var random = new SplitMix64(5);
        Assert.Equal((1, KeyLane.End - 1), (KeyLane.For(1), KeyLane.For(long.MaxValue)));
        var (lane, shortest) = (0, 0L);
        foreach (var life in Enumerable.Range(1, 5000).Select(i => (long)i).Concat(Enumerable.Range(0, 5000).Select(_ => (long)(random.Next() >> (1 + (int)random.Below(50)))).Order().Where(l => l > 5000)))
        {
            var next = KeyLane.For(life);
            Assert.InRange(next, lane, KeyLane.End - 1);
            shortest = next == lane ? shortest : life;
            lane = next;
            Assert.True(life - shortest <= shortest / 8, $"{shortest} and {life} share lane {lane}.");
        }
    }
}
