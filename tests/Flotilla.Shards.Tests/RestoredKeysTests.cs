using System.Buffers;
using Flotilla.Data;
using Flotilla.Shards.ExactlyOnce;
using Flotilla.Shards.Image;
using Flotilla.Shards.Tests.Harness;
using Flotilla.Topology;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests;

/// <summary>Idempotency keys that go with a backup into another cluster.</summary>
[Trait("Hazard", "34")]
public sealed class RestoredKeysTests
{
    private static readonly KeyTerms Terms = new(LifeMs: 1000, MaxBytes: 1 << 20);
    private readonly LogOf _old = new();
    private readonly LogOf _new = new();

    [Fact]
    public void A_write_that_was_executed_before_the_backup_is_not_executed_again_after_it()
    {
        var write = Command.Increment(B("n"), 5).Under("id", Terms);
        var first = _old.One(1000, write);
        _new.One(1100, Command.Put(B("n"), B("5")));
        Assert.Equal(1, Restore(1200));

        var again = _new.One(1300, write);
        Assert.Equal((ResultCode.Ok, "5", first.Version), (again.Code, Text(again.Value), again.Version));
        Assert.Equal("5", _new.Get("n"));
        Assert.Equal(ResultCode.KeyReused, _new.One(1400, Command.Increment(B("n"), 6).Under("id", Terms)).Code);

        // Its life is as long as it was, and then it executes anew, as it would have in the old cluster.
        Assert.Equal("10", Text(_new.One(2000, write).Value));
    }

    [Fact]
    public void Keys_of_many_slots_and_results_come_once_each_and_bringing_them_again_changes_nothing()
    {
        for (var i = 0; i < 300; i++)
        {
            Command write = (i % 3) switch
            {
                0 => Command.Put(B($"k{i}"), B("v")),
                1 => Command.Delete(B($"k{i}")),
                _ => Command.CompareAndSwap(B($"k{i}"), new Data.Version(9, 9, 9, 9), B("v")),
            };
            _old.One(i, write.Under($"id {i}", Terms));
        }

        Assert.Equal(300, Restore(400));
        var digest = _new.Machine.StateDigest();
        Assert.Equal(300, _new.Machine.IdempotencyKeyCount);
        Assert.Equal(300, Restore(400));
        Assert.Equal(digest, _new.Machine.StateDigest());
        for (var i = 0; i < 300; i++)
        {
            var delete = Command.Delete(B($"k{i}")).Under($"id {i}", Terms);
            Assert.Equal(i % 3 == 1 ? ResultCode.NotFound : ResultCode.KeyReused, _new.One(500, delete).Code);
        }

        // They leave as those leave that were recorded here.
        _new.Apply(1300);
        Assert.Equal(0, _new.Machine.IdempotencyKeyCount);
    }

    [Fact]
    public void What_is_over_when_it_comes_is_left_out_and_a_shard_without_the_slot_takes_nothing()
    {
        _old.One(1000, Command.Put(B("k"), B("v")).Under("id", Terms));
        Restore(2000);
        Assert.Equal(0, _new.Machine.IdempotencyKeyCount);

        var key = Assert.Single(KeysOf(_old));
        var elsewhere = new LogOf(new BTree(), [.. AllSlots.Where(slot => slot != key.Slot)]);
        Assert.Equal(ResultCode.NotOwner, elsewhere.One(1100, Command.LearnKeys(B("k"), key.Encoded)).Code);
        Assert.Equal(0, elsewhere.Machine.IdempotencyKeyCount);
    }

    [Fact]
    public void What_is_no_batch_of_keys_of_the_slot_is_never_put_into_a_log()
    {
        _old.One(1000, Command.Put(B("k"), B("v")).Under("id", Terms));
        var key = Assert.Single(KeysOf(_old));
        Assert.NotNull(CommandCodec.Encode(0, [Command.LearnKeys(B("k"), key.Encoded)]));
        byte[] many = [.. Enumerable.Repeat(key.Encoded.ToArray(), RestoredKeys.MaxPerCommand + 1).SelectMany(bytes => bytes)];
        Command[] wrong =
        [
            Command.LearnKeys(B("k"), default),
            Command.LearnKeys(B("k"), B("v")),
            Command.LearnKeys(B("k"), Enumerable.Repeat((byte)5, 1 << 20).ToArray()),
            Command.LearnKeys(B("k"), key.Encoded[..^1]),
            Command.LearnKeys(B("another"), key.Encoded),
            Command.LearnKeys(default, key.Encoded),
            Command.LearnKeys(B("k"), many),
        ];
        Assert.All(wrong, command => Assert.Throws<ArgumentOutOfRangeException>(() => CommandCodec.Encode(0, [command])));

        // Nor is a broken one read out of one: no replica guesses.
        var payload = CommandCodec.Encode(0, [Command.LearnKeys(B("k"), key.Encoded)]);
        for (var i = 9; i < payload.Length; i++)
        {
            var cut = payload[..i];
            Assert.Throws<MalformedPayloadException>(() => CommandCodec.Decode(cut, []));
        }

        payload[0] = 4;
        Assert.Throws<MalformedPayloadException>(() => CommandCodec.Decode(payload, []));
    }

    [Fact]
    public void Nobody_plants_a_key_for_ever()
    {
        _old.One(1000, Command.Put(B("k"), B("v")).Under("id", new KeyTerms(long.MaxValue, 1 << 20)));
        Assert.Equal(1, Restore(2000));
        _new.Apply(1999 + RestoredKeys.MaxLifeMs);
        Assert.Equal(1, _new.Machine.IdempotencyKeyCount);
        _new.Apply(2000 + RestoredKeys.MaxLifeMs);
        Assert.Equal(0, _new.Machine.IdempotencyKeyCount);
    }

    [Fact]
    public void Every_slot_has_a_key_that_names_it() =>
        Assert.All(AllSlots, slot => Assert.Equal(slot, Slot.Of(RestoredKeys.KeyIn(slot))));

    /// <summary>Brings all keys of the old shard into the new one, and says how many there were.</summary>
    private int Restore(long stampMs)
    {
        var keys = KeysOf(_old);
        foreach (var slot in keys.GroupBy(key => key.Slot))
        {
            var batch = slot.SelectMany(key => key.Encoded.ToArray()).ToArray();
            Assert.Equal(ResultCode.Ok, _new.One(stampMs, Command.LearnKeys(RestoredKeys.KeyIn(slot.Key), batch)).Code);
        }

        return keys.Count;
    }

    private static List<RestoredKey> KeysOf(LogOf log)
    {
        var keys = new List<RestoredKey>();
        var reader = ImageReader.Passing(null, keys.Add);
        var writer = new ImageWriter(log.Machine.TakeImage(default));
        var block = new ArrayBufferWriter<byte>(ImageWriter.MaxBlockBytes);
        while (writer.TryWrite(block))
        {
            reader.Read(block.WrittenMemory);
            block.ResetWrittenCount();
        }

        Assert.True(reader.IsComplete);
        return keys;
    }
}
