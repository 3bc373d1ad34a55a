using Flotilla.Raft.Membership;

namespace Flotilla.Raft.Tests.Membership;

public sealed class ConfigurationTests
{
    private static readonly NodeId A = new("a"), B = new("b"), C = new("c"), D = new("d");

    [Fact]
    public void A_promotion_and_a_removal_go_by_a_joint_configuration_and_end_in_the_new_one()
    {
        var first = Configuration.Genesis([C, A, B]);
        Assert.Equal([A, B, C], first.Voters);
        Assert.False(first.IsJoint);

        var learning = first.Adding(D, new Incarnation(4), "d:1");
        Assert.False(learning.IsJoint);
        Assert.Equal([A, B, C], learning.Voters);
        Assert.Equal([D], learning.Learners);
        Assert.False(learning.IsVoter(D));

        var joint = learning.Promoting(D);
        Assert.True(joint.IsJoint);
        Assert.Equal([A, B, C, D], joint.Voters);
        Assert.Equal([A, B, C], joint.OldVoters);
        Assert.Equal([A, B, C, D], joint.LeavingJoint().Voters);
        Assert.False(joint.LeavingJoint().IsJoint);

        var leaving = joint.LeavingJoint().Removing(A);
        Assert.True(leaving.IsJoint);
        Assert.Equal([B, C, D], leaving.Voters);
        Assert.Equal([A, B, C, D], leaving.OldVoters);
        Assert.Null(leaving.LeavingJoint().Find(A));
        Assert.Equal(first.Members, learning.Removing(D).Members);
    }

    [Fact]
    public void Who_was_removed_is_remembered_until_it_is_added_again()
    {
        var all = Configuration.Genesis([A, B, C]).Seating(_ => new Incarnation(1));
        var gone = all.Removing(C);
        Assert.Empty(gone.Removed);
        gone = gone.LeavingJoint();
        Assert.Equal([new RemovedSeat(C, new Incarnation(1))], gone.Removed);
        Assert.Empty(gone.Adding(C, new Incarnation(2), "c").Removed);
        for (var i = 0; i < 40; i++)
        {
            gone = gone.Adding(new NodeId($"x{i:00}"), new Incarnation(7), "").Removing(new NodeId($"x{i:00}"));
        }

        Assert.Equal(Configuration.MaxRemoved, gone.Removed.Count);
        Assert.Equal("x39", gone.Removed[^1].Id.Value);
        Assert.Equal(gone, ConfigurationCodec.Decode(ConfigurationCodec.Encode(gone)));
    }

    [Fact]
    public void Seats_that_name_an_incarnation_keep_it()
    {
        var seated = Configuration.Genesis([A, B]).Seating(id => id == A ? new Incarnation(1) : default);
        Assert.Equal(new Incarnation(1), seated.Find(A)!.Value.Incarnation);
        Assert.True(seated.Find(B)!.Value.Incarnation.IsNone);
        Assert.Equal(new Incarnation(1), seated.Seating(_ => new Incarnation(9)).Find(A)!.Value.Incarnation);
    }

    [Fact]
    public void What_breaks_an_invariant_is_refused()
    {
        Assert.Throws<ArgumentException>(() => Configuration.Genesis([A, A]));
        Assert.Throws<ArgumentException>(() => Configuration.Genesis([A]).Removing(A));
        Assert.Throws<ArgumentException>(() => new Configuration([new Member(A, Suffrage.Learner, default, "")]));
        Assert.Throws<ArgumentException>(() => Configuration.Genesis(Enumerable.Range(0, 65).Select(i => new NodeId($"n{i:00}"))));
    }

    [Fact]
    public void Every_configuration_reads_back_and_no_other_bytes_read_as_one()
    {
        var configuration = new Configuration(
        [
            new Member(A, Suffrage.Voter, new Incarnation(ulong.MaxValue), "host:1"),
            new Member(B, Suffrage.Outgoing, default, ""),
            new Member(new NodeId("ü"), Suffrage.Incoming, new Incarnation(3), new string('x', 255)),
            new Member(D, Suffrage.Learner, new Incarnation(7), "d"),
        ]);
        var bytes = ConfigurationCodec.Encode(configuration);
        Assert.Equal(configuration, ConfigurationCodec.Decode(bytes));
        for (var length = 0; length < bytes.Length; length++)
        {
            Assert.Null(ConfigurationCodec.Decode(bytes.AsSpan(0, length)));
        }

        Assert.Null(ConfigurationCodec.Decode([.. bytes, 0]));
        Assert.Throws<ArgumentException>(() => ConfigurationCodec.Encode(Configuration.Genesis([new NodeId(new string('x', 256))])));
    }

    [Fact]
    public void Flipped_bits_give_another_sound_configuration_or_none()
    {
        var bytes = ConfigurationCodec.Encode(Configuration.Genesis([A, B, C]).Adding(D, new Incarnation(4), "d:1").Promoting(D));
        for (var bit = 0; bit < bytes.Length * 8; bit++)
        {
            var flipped = (byte[])bytes.Clone();
            flipped[bit / 8] ^= (byte)(1 << (bit % 8));
            if (ConfigurationCodec.Decode(flipped) is { } other)
            {
                Assert.Equal(flipped, ConfigurationCodec.Encode(other));
            }
        }
    }
}
