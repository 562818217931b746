# What SmokePing itself decides. Questions come as lines of JSON {type, pattern, cases: [{loss, rtt, prev}]}; each is
# answered by {min, max, results: [0 or 1, ...]} or {error}.
use strict;
use warnings;
use JSON::PP;
use Smokeping;

local $SIG{__WARN__} = sub { };
$| = 1;
while (my $line = <STDIN>) {
    my $question = decode_json($line);
    my $alert = { type => $question->{type}, pattern => $question->{pattern}, comment => 'none' };
    if (!eval { Smokeping::init_alerts({ Alerts => { probe => $alert } }); 1 }) {
        my ($first) = split /\n/, $@;
        print encode_json({ error => $first }), "\n";
        next;
    }
    my @results;
    for my $case (@{ $question->{cases} }) {
        local $_ = 'probe';
        my $history = { loss => $case->{loss}, rtt => $case->{rtt}, prevmatch => $case->{prev} };
        push @results, $alert->{sub}->($history) ? 1 : 0;
    }
    print encode_json({ min => $alert->{minlength}, max => $alert->{maxlength}, results => \@results }), "\n";
}
